# SPDX-License-Identifier: GPL-2.0-only
"""What leads to a running guest from outside, and what leads out of it."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import pexpect
import pytest

from harness.cases.catalog import Catalog
from harness.inspect.guest import booted
from harness.inspect.shell import Desk
from harness.inspect.ssh import reached
from harness.kernel.kernel import Kernel
from harness.modules import build as modules
from harness.vm import machine
from tests import intruder
from tests.guest.test_debug import free_port
from tests.users import another, python

SECONDS = 60
LISTENS, ACCEPTS = "0A", 0x10000


@dataclass(frozen=True)
class Doors:
    """All ports, sockets, files and processes that may lead to a guest."""

    ports: list[int]
    sockets: list[str]
    # Those that an intruder tries to read, and to write.
    files: list[str]
    written: list[str]
    folders: list[str]
    processes: list[int]
    # The private key for SSH.
    key: str


def descendants(pid: int) -> list[int]:
    """Return the PIDs of a process and of all that it started."""
    found = [pid]
    for task in Path(f"/proc/{pid}/task").glob("*"):
        with suppress(OSError):
            for child in (task / "children").read_text().split():
                found += descendants(int(child))
    return found


def inodes(processes: Sequence[int]) -> set[str]:
    """Return the inodes of the sockets that some processes have open."""
    found = set()
    for link in (link for pid in processes for link in Path(f"/proc/{pid}/fd").glob("*")):
        # Some are closed by then.
        with suppress(OSError):
            kind, _, inode = str(link.readlink()).partition(":")
            if kind == "socket":
                found.add(inode.strip("[]"))
    return found


def listening(inodes: set[str]) -> tuple[list[int], list[str]]:
    """Return the ports and the paths that the sockets listen on."""
    ports, paths = [], []
    for name in ("tcp", "tcp6", "udp", "udp6"):
        for line in Path("/proc/net", name).read_text().splitlines()[1:]:
            fields = line.split()
            if fields[9] in inodes and (fields[3] == LISTENS or name.startswith("udp")):
                address, _, port = fields[1].partition(":")
                # Nothing but the loopback, which no other machine reaches.
                assert int.from_bytes(bytes.fromhex(address), "little") >> 24 == 127, line
                ports.append(int(port, 16))
    for line in Path("/proc/net/unix").read_text().splitlines()[1:]:
        fields = line.split(maxsplit=7)
        if int(fields[3], 16) & ACCEPTS and fields[6] in inodes:
            paths.append(fields[7])
    return ports, paths


def found(place: Path, pid: int) -> Doors:
    """Return the doors of a command whose files all lie below `place`."""
    # A QEMU that is asked for its version has no socket, and ends in a moment.
    processes = [one for one in descendants(pid) if one == pid or inodes([one])]
    ports, paths = listening(inodes(processes))
    # Both the path that a socket was bound to, and the resolved one.
    paths += [str(Path(path).resolve()) for path in paths]
    private = [path for path in place.glob("*/jprobe-*/") if path.name != "jprobe-harness"]
    private += place.glob("state/jprobe-harness/runs/*/")
    files = [str(file) for folder in private for file in folder.iterdir() if file.is_file()]
    keys = [file for file in files if Path(file).name == "id_ed25519"]
    assert len(private) >= 2
    return Doors(
        ports=ports,
        sockets=paths,
        # An address space is known by its map; the memory itself is refused with that.
        files=[*files, *(f"/proc/{pid}/maps" for pid in processes)],
        written=files,
        folders=[str(folder) for folder in private],
        processes=processes,
        key=keys[0] if keys else "/no/key",
    )


def got(doors: Doors, user: Sequence[str]) -> dict[str, str]:
    """Return by door what the intruder got there as `user`, a command prefix."""
    done = subprocess.run(
        [*user, python(), "-c", Path(intruder.__file__).read_text()],
        input=json.dumps(asdict(doors)),
        capture_output=True, text=True, timeout=SECONDS, cwd="/",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


@pytest.fixture
def place() -> Iterator[Path]:
    """Yield a folder that everybody may look into, as a user's own may be."""
    with tempfile.TemporaryDirectory(prefix="jprobe-doors-") as folder:
        place = Path(folder)
        for path in (place, place / "state", place / "temporary"):
            path.mkdir(exist_ok=True)
            path.chmod(0o755)
        yield place


@contextmanager
def started(place: Path, *words: str) -> Iterator[tuple[pexpect.spawn[str], int]]:
    """Start a command in a terminal, and yield the terminal and the command's PID."""
    child = pexpect.spawn(
        "jprobe-harness", [*words], encoding="utf-8", timeout=SECONDS, dimensions=(24, 80),
        env=os.environ | {"XDG_STATE_HOME": f"{place}/state", "TMPDIR": f"{place}/temporary"},
    )  # fmt: skip
    try:
        assert child.pid
        yield child, child.pid
    finally:
        child.close(force=True)


CELL = ("--case", "stack-9", "--variant", "none")
# The command, what it prints when its guest is up, and how many ports it has then.
RUNNING = {
    "shell": (("shell",), r"guest:\S+# ", 0),
    "ssh": (("ssh", "--config"), "The guest runs until Ctrl-C", 1),
    "--gdb": (("repro", *CELL, "--gdb"), r"\(gdb\) $", 0),
    "--gdb-wait": (("repro", *CELL, "--gdb-wait"), "The guest waits for it", 0),
    "--gdb-wait PORT": (("repro", *CELL, "--gdb-wait", "PORT"), "The guest waits for it", 1),
}


def check(doors: Doors) -> None:
    """Check that another user gets nothing, and that the user, asking the same, gets everything."""
    refused, given = got(doors, another()), got(doors, [])
    assert [door for door, what in refused.items() if what] == []
    assert [door for door, what in given.items() if not what] == []
    assert given.keys() == refused.keys()


@pytest.mark.parametrize("name", RUNNING)
def test_another_user_gets_nowhere(place: Path, kernel: Kernel, name: str) -> None:
    words, ready, ports = RUNNING[name]
    words = tuple(str(free_port()) if word == "PORT" else word for word in words)
    with started(place, *words, "--kernel", kernel.spec) as (child, pid):
        child.expect(ready)
        doors = found(place, pid)
        assert len(doors.ports) == ports
        # QMP, and the guest's two lines.
        # QMP's, by two names; QEMU inherits the others.
        assert len(doors.sockets) >= 2
        check(doors)
        assert child.isalive()


def test_another_user_gets_nowhere_in_a_nightly_run(place: Path, kernel: Kernel) -> None:
    matrix = place / "matrix.yaml"
    matrix.write_text(f"shows: what is there for others\nkernels: [{kernel.spec}]\n")
    with started(place, "nightly", str(matrix), "--jobs", "1") as (child, pid):
        deadline = time.monotonic() + SECONDS
        while not (worker := worker_of(pid)):
            assert time.monotonic() < deadline, child.before
            # No event comes of what a command's own child starts.
            time.sleep(0.05)
        # The guest stays as long as its worker is stopped.
        os.kill(worker, signal.SIGSTOP)
        doors = found(place, pid)
        assert doors.ports == []
        check(doors)
        os.kill(worker, signal.SIGCONT)


def worker_of(pid: int) -> int | None:
    """Return the descendant that has a guest, or None until QEMU has connected its lines."""
    for child in descendants(pid):
        with suppress(OSError):
            if Path(f"/proc/{child}/comm").read_text().startswith("qemu"):
                ready = len(listening(inodes([child]))[1]) > 0
                stat = Path(f"/proc/{child}/stat").read_text()
                return int(stat.rpartition(")")[2].split()[1]) if ready else None
    return None


def status(pid: int | str, field: str) -> int:
    """Return a number in /proc/PID/status."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:"))


def test_qemu_is_confined(kernel: Kernel, catalog: Catalog) -> None:
    """QEMU has a seccomp filter of its own, in addition to those of this process."""
    built = modules.build(kernel, catalog.select_cases(["stack-9"]))
    with booted(kernel, built) as guest:
        qemu = guest.session.machine.process.pid
        assert status(qemu, "Seccomp") == 2
        assert status(qemu, "Seccomp_filters") > status("self", "Seccomp_filters")
        assert status(qemu, "NoNewPrivs") == 1


@pytest.mark.parametrize("restricted", [True, False])
def test_a_guest_reaches_nothing_of_the_hosts(
    kernel: Kernel, catalog: Catalog, monkeypatch: pytest.MonkeyPatch, restricted: bool
) -> None:
    """In QEMU's user network the host's loopback is 10.0.2.2, unless it is restricted."""
    if not restricted:
        words = [word.replace("restrict=on", "restrict=off") for word in machine._NETWORK]
        monkeypatch.setattr(machine, "_NETWORK", tuple(words))
    built = modules.build(kernel, catalog.select_cases(["stack-9"]))
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        with reached(kernel, built, Desk(catalog, lambda outcome: ())) as guest:
            guest.ssh.run(f"timeout 3 nc 10.0.2.2 {listener.getsockname()[1]} </dev/null")
        came = select.select([listener], [], [], 0)[0]
    assert bool(came) == (not restricted)


def test_whatever_is_open_to_others_is_found(place: Path) -> None:
    """The positive control of the check itself."""
    (place / "open").write_text("for everybody")
    (place / "open").chmod(0o644)
    doors = Doors([], [], [str(place / "open")], [], [], [], "/no/key")
    with pytest.raises(AssertionError):
        check(doors)
