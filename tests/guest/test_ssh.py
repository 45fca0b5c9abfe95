# SPDX-License-Identifier: GPL-2.0-only
"""SSH into a guest, and commands that do the same over any line to it."""

from __future__ import annotations

import base64
import hashlib
import os
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import paramiko
import pexpect
import pytest

from harness.cases.catalog import Catalog
from harness.errors import Exit, InfrastructureError, KernelDied
from harness.guest.initramfs import Channel
from harness.guest.protocol import CASES_FILE, MAGIC
from harness.guest.records import Ran
from harness.inspect.guest import booted
from harness.inspect.shell import Desk
from harness.inspect.ssh import Reached, reached
from harness.kernel.image import build_id
from harness.kernel.kernel import Kernel
from harness.modules import build as modules
from harness.run.boot import Contents
from harness.vm import ssh
from harness.vm.ssh import Key, Ssh, SshError, WrongHostKey
from tests.guest.test_shell import HARMLESS, HOSTILE
from tests.records import line_of, split, taken_apart

SECONDS = 120
SIZE = 50 << 20
# A sparse file of 1 TiB.
HOLE = "/bin/busybox dd if=/dev/null bs=1M seek=1M count=0"
# The name of the ELF note that holds the build ID.
GNU = b"GNU\0".hex()

pytest_plugins = ["pytester"]

Line = Callable[[str], Ran]


@pytest.fixture(scope="module")
def guest_by_ssh(kernel: Kernel, catalog: Catalog) -> Iterator[Reached]:
    built = modules.build(kernel, list(catalog.cases.values()))
    with reached(kernel, built, Desk(catalog, lambda outcome: [str(outcome.agrees)])) as guest:
        yield guest


@pytest.fixture(scope="module", params=["virtio-serial", "serial", "ssh"])
def line(request: pytest.FixtureRequest, kernel: Kernel, catalog: Catalog) -> Iterator[Line]:
    """Return a function that runs a command line in a guest."""
    if request.param == "ssh":
        yield request.getfixturevalue("guest_by_ssh").ssh.run
        return
    built = modules.build(kernel, list(catalog.cases.values()))
    channel = Channel.SERIAL if request.param == "serial" else Channel.VIRTIO
    with booted(kernel, built, contents=Contents(channel=channel)) as guest:
        yield guest.run


# All of this holds for every line to a guest.


@pytest.mark.parametrize("status", [0, 1, 42, 255])
def test_a_status_comes_back(line: Line, status: int) -> None:
    assert line(f"exit {status}") == Ran(status, "")


def test_a_signal_comes_back_as_a_shell_reports_it(line: Line) -> None:
    assert line("kill -9 $$").status == 128 + signal.SIGKILL
    assert line("kill -15 $$").status == 128 + signal.SIGTERM


def test_both_outputs_come_in_order(line: Line) -> None:
    assert line("echo one; echo two >&2; echo three") == Ran(0, "one\ntwo\nthree\n")


def test_words_come_as_they_are(line: Line) -> None:
    text = "a  b \\ ' \" $ ` ! \N{GREEK SMALL LETTER PI}"
    quoted = text.replace("'", "'\\''")
    assert line(f"printf '%s' '{quoted}'").output == text


def test_much_output_is_complete(line: Line) -> None:
    ran = line("/bin/busybox seq 20000")
    assert ran.output == "".join(f"{number}\n" for number in range(1, 20001))


def test_a_play_is_recorded(line: Line) -> None:
    show = f"/bin/busybox cat {CASES_FILE} | /bin/busybox base64 -w 0"
    ran = line(f"echo stack-9 none 0 >{CASES_FILE}; {show}")
    said = base64.b64decode(ran.output)
    # On a serial line, a record is hexadecimal.
    (record,) = split(said if said.startswith(MAGIC) else bytes.fromhex(said.decode()))
    assert line_of(record) == "stack-9 none 0"
    assert taken_apart(record)[-1].word == "taint"


# The rest is for SSH alone.


@pytest.mark.full
def test_50_megabytes_go_in_and_come_out(guest_by_ssh: Reached, tmp_path: Path) -> None:
    sent, got = tmp_path / "sent", tmp_path / "got"
    sent.write_bytes(os.urandom(SIZE))
    digest = hashlib.sha256(sent.read_bytes()).hexdigest()
    guest_by_ssh.ssh.put(sent, "/root/file")
    assert guest_by_ssh.ssh.run("sha256sum /root/file").output.split()[0] == digest
    guest_by_ssh.ssh.get("/root/file", got)
    assert hashlib.sha256(got.read_bytes()).hexdigest() == digest
    guest_by_ssh.ssh.run("rm /root/file")


def test_what_is_played_by_ssh_is_judged_by_the_host(guest_by_ssh: Reached) -> None:
    ran = guest_by_ssh.ssh.run("jprobe-case run stack-9 none; jprobe-case run stack-8 fixed-64")
    assert ran == Ran(0, "True\nTrue\n")


def test_the_users_own_clients(guest_by_ssh: Reached, tmp_path: Path) -> None:
    config = ["-F", str(guest_by_ssh.config)]

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(words, capture_output=True, text=True, timeout=SECONDS)

    done = run("ssh", *config, "guest", "cat /proc/sys/kernel/osrelease; exit 5")
    assert (done.returncode, done.stdout) == (5, f"{guest_by_ssh.guest.kernel.release}\n")
    (tmp_path / "a").write_text("text")
    assert run("scp", *config, str(tmp_path / "a"), "guest:/root/a").returncode == 0
    assert run("scp", *config, "guest:/root/a", str(tmp_path / "b")).returncode == 0
    assert (tmp_path / "b").read_text() == "text"
    assert (guest_by_ssh.config.with_name("id_ed25519").stat().st_mode & 0o777) == 0o600


def test_the_build_id_is_the_running_kernels(guest_by_ssh: Reached, kernel: Kernel) -> None:
    notes = guest_by_ssh.ssh.run('hexdump -ve "1/1 \\"%02x\\"" /sys/kernel/notes').output
    assert f"{GNU}{build_id(kernel.image)}" in notes


def test_another_host_key_is_refused(guest_by_ssh: Reached) -> None:
    key = guest_by_ssh.config.with_name("id_ed25519")
    other = Key().public.split()[1]
    with pytest.raises(WrongHostKey, match="host key is another"):
        Ssh(guest_by_ssh.ssh.port, other, key).__enter__()


def test_another_key_of_ours_is_refused(guest_by_ssh: Reached, tmp_path: Path) -> None:
    Key().write(tmp_path / "key")
    known = guest_by_ssh.config.with_name("known_hosts").read_text().split()[2]
    with pytest.raises(SshError, match="does not accept the key"):
        Ssh(guest_by_ssh.ssh.port, known, tmp_path / "key").__enter__()


def test_a_port_that_nobody_or_somebody_else_answers_on(tmp_path: Path) -> None:
    Key().write(tmp_path / "key")
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        port = silent.getsockname()[1]
        with pytest.raises(SshError, match="does not answer SSH within 1 s"):
            Ssh(port, Key().public.split()[1], tmp_path / "key", seconds=1).__enter__()


def test_files_that_are_not_there(guest_by_ssh: Reached, tmp_path: Path) -> None:
    with pytest.raises(SshError, match="no such file"):
        guest_by_ssh.ssh.get("/no/such", tmp_path / "x")


def test_a_command_that_does_not_end(guest_by_ssh: Reached) -> None:
    with pytest.raises(SshError, match="'sleep 60' took longer than 1 s"):
        guest_by_ssh.ssh.run("sleep 60", seconds=1)


def test_a_command_that_does_not_fall_silent(
    guest_by_ssh: Reached, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SshError, match="took longer than 1 s"):
        guest_by_ssh.ssh.run("while :; do echo more; /bin/busybox usleep 10000; done", seconds=1)
    monkeypatch.setattr(ssh, "OUTPUT_MAX", 1 << 20)
    with pytest.raises(SshError, match="prints more than 1,048,576 bytes"):
        guest_by_ssh.ssh.run("/bin/busybox yes")


def test_files_that_do_not_end(
    guest_by_ssh: Reached, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    got = tmp_path / "got"
    monkeypatch.setattr(ssh, "EXCESS_MAX", 1 << 20)
    with pytest.raises(SshError, match="/dev/zero does not end"):
        guest_by_ssh.ssh.get("/dev/zero", got)
    assert got.stat().st_size < 2 << 20
    # Its size is reported as 0.
    guest_by_ssh.ssh.get("/proc/version", got)
    assert got.read_text() == guest_by_ssh.ssh.run("cat /proc/version").output
    assert guest_by_ssh.ssh.run(f"{HOLE} of=/root/hole").status == 0
    with pytest.raises(SshError, match="at most 4,294,967,296 are fetched"):
        guest_by_ssh.ssh.get("/root/hole", got)
    guest_by_ssh.ssh.run("rm /root/hole")


def test_a_request_that_the_server_does_not_hear(
    guest_by_ssh: Reached, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dropbear closes a session without one when the process of another ends."""
    first = guest_by_ssh.ssh.request(lambda channel: ssh.start(channel, "sleep 1"))
    opened = guest_by_ssh.ssh._session
    sessions: list[paramiko.Channel] = []

    def open_early() -> paramiko.Channel:
        sessions.append(opened())
        first.recv_exit_status()
        return sessions[-1]

    monkeypatch.setattr(guest_by_ssh.ssh, "_session", open_early)
    assert guest_by_ssh.ssh.run("echo heard").output == "heard\n"
    # Not all releases of it do.
    assert len(sessions) in (1, 2)


def test_a_place_that_cannot_be_written(guest_by_ssh: Reached, tmp_path: Path) -> None:
    with pytest.raises(InfrastructureError, match=f"{tmp_path} cannot be written"):
        guest_by_ssh.ssh.get("/proc/version", tmp_path)


def test_a_guest_that_dies_meanwhile(kernel: Kernel, catalog: Catalog) -> None:
    built = modules.build(kernel, list(catalog.cases.values()))
    with (
        pytest.raises(KernelDied, match="sysrq triggered crash"),
        reached(kernel, built, Desk(catalog, lambda outcome: [])) as guest,
    ):
        guest.ssh.run("echo c >/proc/sysrq-trigger")


def test_the_command(kernel: Kernel, tmp_path: Path) -> None:
    (tmp_path / "script").write_text('cat; echo "$1" >&2; echo out >/root/result; exit 9\n')
    done = subprocess.run(
        ["jprobe-harness", "ssh", "--kernel", kernel.spec, "--put", "script", "--get",
         "/root/result", "--", "sh", "script", "word"],
        input="typed\n", capture_output=True, text=True, timeout=SECONDS, cwd=tmp_path,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (9, "typed\n", "word\n")
    assert (tmp_path / "result").read_text() == "out\n"


def test_what_is_reported_of_a_play_is_the_commands_output(kernel: Kernel) -> None:
    done = subprocess.run(
        ["jprobe-harness", "ssh", "--kernel", kernel.spec, "--",
         "jprobe-case run stack-9 none | sed 's/^/guest: /'"],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=SECONDS,
    )  # fmt: skip
    reported = done.stdout.splitlines()
    assert all(line.startswith("guest: ") for line in reported), done.stdout
    assert reported[0] == "guest: stack-9 under none"
    assert "guest: argument area, from SP" in reported
    assert reported[-1] == "guest: leak 8, as predicted"


def test_a_terminal_by_ssh(kernel: Kernel) -> None:
    child = pexpect.spawn("jprobe-harness", ["ssh", "--kernel", kernel.spec], encoding="utf-8",
                          timeout=SECONDS, dimensions=(30, 90))  # fmt: skip
    child.expect("# ")
    child.sendline("stty size; tty")
    child.expect("30 90\r\n/dev/pts/0")
    child.sendline(HOSTILE)
    child.expect_exact(HARMLESS)
    child.setwinsize(40, 132)
    child.sendline("until [ \"$(stty size)\" = '40 132' ]; do usleep 1000; done; echo resized")
    child.expect("\r\nresized")
    child.sendline("exit 3")
    child.expect(pexpect.EOF)
    child.wait()
    assert child.exitstatus == 3


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_guest_for_the_users_own_client(
    kernel: Kernel, tmp_path: Path, number: signal.Signals
) -> None:
    with subprocess.Popen(
        ["jprobe-harness", "ssh", "--kernel", kernel.spec, "--config"],
        stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout
        lines = list(iter(process.stdout.readline, "\n"))
        (tmp_path / "config").write_text("".join(lines))
        done = subprocess.run(
            ["ssh", "-F", tmp_path / "config", "guest", "echo hello"],
            capture_output=True, text=True, timeout=SECONDS,
        )  # fmt: skip
        process.send_signal(number)
        assert process.wait(SECONDS) == Exit.AGREES
    assert done.stdout == "hello\n"


def test_a_command_that_is_ended(kernel: Kernel) -> None:
    with subprocess.Popen(
        ["jprobe-harness", "ssh", "--kernel", kernel.spec, "--", "echo reached; sleep 600"],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout
        assert process.stdout.readline() == "reached\n"
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=SECONDS)
    assert process.returncode == Exit.INFRASTRUCTURE
    assert errors.startswith("jprobe-harness: ended by SIGTERM; its guest is gone.\n  See: ")


@pytest.mark.usefixtures("cached")
def test_the_fixture(pytester: pytest.Pytester, kernel: Kernel) -> None:
    pytester.makepyfile(
        """
        def test_release(ssh, kernel):
            assert ssh.run("uname -r").output.strip() == kernel.release
        """
    )
    done = pytester.runpytest_subprocess(f"--kernel={kernel.spec}", "test_the_fixture.py")
    done.assert_outcomes(passed=1)
