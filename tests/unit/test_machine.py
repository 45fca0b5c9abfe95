# SPDX-License-Identifier: GPL-2.0-only
"""The machine and the session, against programs that pretend to be QEMU."""

from __future__ import annotations

import os
import select
import shlex
import stat
import sys
import tracemalloc
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

import tests
from harness.errors import (
    HarnessError,
    InfrastructureError,
    KernelDied,
    KernelFault,
    KernelHung,
    MachineError,
    TestHung,
    UnfitEmulator,
)
from harness.guest.deadlines import Deadlines
from harness.guest.protocol import Parser
from harness.guest.records import Record
from harness.run.session import Session
from harness.vm import console
from harness.vm import running as vm
from harness.vm.machine import Machine
from harness.vm.running import Running, running

RECORDS = Path(__file__).parent / "data/records"
PANIC = Path(__file__).parent / "data/console/panic.log"

CONNECT = """
import os, signal, sys, time
sys.path.insert(0, {tests!r})
from tests.faults.emulator import connect, greet, serve_qmp
console, records = connect(sys.argv, "console"), connect(sys.argv, "records")
listener = greet(sys.argv)
def qmp(state="running"):
    serve_qmp(listener, state)
data = open({records!r}, "rb").read()
from tests.records import changed, joined, split
introduction, first, *others = split(data)
bye = b"reboot: Power down\\n"
"""


Qemu = Callable[..., AbstractContextManager[Running]]


@pytest.fixture
def qemu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Qemu:
    """Put a program in QEMU's place."""

    def make(body: str, *, connect: bool = True) -> AbstractContextManager[Running]:
        program = tmp_path / "qemu-system-aarch64"
        head = CONNECT.replace("{records!r}", repr(str(RECORDS))) if connect else ""
        head = head.replace("{tests!r}", repr(str(Path(tests.__file__).parent.parent)))
        program.write_text(f"#!{sys.executable}\n{head}\n{body}\n")
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
        return running(Machine(tmp_path / "Image"), b"initrd")

    return make


# The pretended guest may start late on a loaded machine; it then answers at once.
PATIENT = Deadlines(boot=30, play=30, ping=30, end=30)
# Where it does nothing more, there is nothing to wait for.
SHORT = Deadlines(boot=30, play=0.1, ping=0.1, end=0.1)


def test_a_failed_start_reports_all(qemu: Qemu) -> None:
    machine = qemu("import sys; sys.exit('no such machine')", connect=False)
    with pytest.raises(MachineError) as caught, machine:
        pass
    assert "ended with status 1: no such machine" in caught.value.sentence
    assert "-nodefaults" in caught.value.hint
    words = shlex.split(caught.value.hint)
    assert not Path(words[words.index("-initrd") + 1]).parent.exists()


def test_a_start_that_takes_too_long(qemu: Qemu, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vm, "START_SECONDS", 0.1)
    machine = qemu("import signal; signal.pause()", connect=False)
    with pytest.raises(MachineError, match=r"did not start within 0\.1 s"), machine:
        pass


def test_an_older_qemu_is_refused_for_what_it_is(
    qemu: Qemu, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = "print('QEMU emulator version {}') if '--version' in sys.argv else sys.exit('-chardev?')"
    machine = qemu(f"import sys; {old.format('6.2.0 (x 1:7.2)')}", connect=False)
    vm.version.cache_clear()
    # Whether it starts at all or fails at an option that it does not know.
    for found in (vm.version, machine.__enter__):
        with pytest.raises(UnfitEmulator, match=r"6\.2\.0, and 7\.2 is the oldest") as caught:
            found()
        assert "doctor" in caught.value.hint
    machine = qemu(f"import sys; {old.format('7.2')}", connect=False)
    assert vm.version() == "QEMU emulator version 7.2"
    vm.version.cache_clear()
    with pytest.raises(MachineError, match=r"-chardev\?"), machine:
        pass
    vm.version.cache_clear()


@pytest.mark.parametrize(
    "said",
    [
        "qemu-system-aarch64: -sandbox support is not enabled in this QEMU binary",
        "qemu-system-aarch64: failed to install seccomp syscall filter in the kernel",
    ],
)
def test_no_guest_runs_outside_of_a_sandbox(qemu: Qemu, said: str) -> None:
    machine = qemu(f"import sys; sys.exit({said!r})", connect=False)
    assert "-sandbox" in Machine(Path("Image")).standalone(Path("initrd"), Path("records"))
    with pytest.raises(UnfitEmulator, match="cannot have its sandbox") as caught, machine:
        pass
    assert "seccomp" in caught.value.hint


def test_the_sockets_are_private(qemu: Qemu) -> None:
    with qemu("signal.pause()") as machine:
        folder = machine.log.parent
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        process = machine.process
    assert process.returncode == -9
    assert not folder.exists()


@pytest.mark.parametrize(
    "name", ["a b", "a,b", "a,,b", "a:b", "a%20#b", "a'b\"c", "$HOME", "é", "x" * 150]
)
def test_any_folder_takes_the_sockets(
    qemu: Qemu, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    folder = tmp_path / name
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    with qemu("records.sendall(data); console.sendall(bye)") as machine:
        assert machine.log.parent.parent == folder
        assert to_the_end(machine, PATIENT)
    assert not list(folder.iterdir())


# As many records as a real guest sent after its introduction.
PLANNED = 13


def to_the_end(machine: Running, deadlines: Deadlines) -> list[Record]:
    """Return what a guest sends that plays a plan by itself."""
    session = Session(machine, deadlines=deadlines, preloaded=True)
    session.introduce()
    session.play(["x"] * PLANNED)
    records = list(session.records())
    session.power_off()
    return records


def test_records_to_the_end(qemu: Qemu) -> None:
    with qemu("records.sendall(data); console.sendall(bye)") as machine:
        records = to_the_end(machine, PATIENT)
    assert records == Parser().feed(RECORDS.read_bytes())[1:]


def test_a_look_keeps_what_came_for_the_next_wait(qemu: Qemu) -> None:
    with qemu("records.sendall(data); console.sendall(bye)") as machine:
        session = Session(machine, deadlines=PATIENT)
        while session.look():
            select.select([session], [], [], 10)
        guest, *records = Parser().feed(RECORDS.read_bytes())
        assert (session.guest, session.wait(0)) == (guest, records)
        assert session.wait(0) == []


@pytest.mark.parametrize(
    ("body", "deadlines", "error"),
    [
        # Reset without a word after the last record.
        ("records.sendall(data)", PATIENT, KernelDied),
        # QEMU itself failed.
        ("records.sendall(data); console.sendall(bye); sys.exit(1)", PATIENT, MachineError),
        # It powered off in the middle.
        ("records.sendall(data[:3000]); console.sendall(bye)", PATIENT, KernelDied),
        # It hangs after the last record.
        ("qmp(); records.sendall(data); signal.pause()", SHORT, KernelHung),
        # Nobody but the guest's module writes to this channel.
        ("records.sendall(data.replace(b'none 0', b'none 8', 1))", PATIENT, KernelFault),
    ],
)
def test_an_end_that_is_not_orderly_is_never_green(
    qemu: Qemu, body: str, deadlines: Deadlines, error: type[HarnessError]
) -> None:
    with qemu(body) as machine, pytest.raises(error):
        to_the_end(machine, deadlines)


def test_a_guest_that_ends_early_is_our_own_failure(qemu: Qemu) -> None:
    with (
        qemu("console.sendall(b'insmod: no\\n' + bye)") as machine,
        pytest.raises(InfrastructureError, match=r"could not set itself up\. insmod: no"),
    ):
        to_the_end(machine, PATIENT)


def test_a_panic_is_seen_and_is_the_kernels_fault(qemu: Qemu) -> None:
    body = f"records.sendall(introduction); console.sendall(open({str(PANIC)!r}, 'rb').read())"
    with qemu(body) as machine, pytest.raises(KernelDied, match="asked for"):
        to_the_end(machine, PATIENT)


OUT_OF_MEMORY = "console.sendall(b'Kernel panic - not syncing: System is deadlocked on memory\\n')"


def test_a_guest_with_too_little_memory_is_our_own_failure(qemu: Qemu) -> None:
    said = r"deadlocked on memory\. The guest ran out of its 256 MiB of memory, which --memory can"
    with qemu(OUT_OF_MEMORY) as machine, pytest.raises(InfrastructureError, match=said):
        to_the_end(machine, PATIENT)
    insmod = "console.sendall(b\"insmod: can't insert 'x.ko': Cannot allocate memory\\n\" + bye)"
    with (
        qemu(insmod) as machine,
        pytest.raises(InfrastructureError, match=r"set itself up\. The guest ran out of its 256"),
    ):
        to_the_end(machine, PATIENT)


def test_a_kernel_that_uses_up_its_memory(qemu: Qemu) -> None:
    with (
        qemu(f"records.sendall(introduction); {OUT_OF_MEMORY}") as machine,
        pytest.raises(KernelDied, match="which --memory can raise"),
    ):
        to_the_end(machine, PATIENT)


def test_a_kernel_that_does_not_fit(qemu: Qemu) -> None:
    machine = qemu("import sys; sys.exit('Image is too large to fit in RAM')", connect=False)
    with pytest.raises(MachineError) as caught, machine:
        pass
    assert "--memory MIB" in caught.value.hint


def test_a_guest_that_is_not_up_in_time(qemu: Qemu) -> None:
    with (
        qemu("qmp(); signal.pause()") as machine,
        pytest.raises(KernelHung, match=r"not up within 0\.5 s, which --boot-deadline can raise"),
    ):
        to_the_end(machine, Deadlines(boot=0.5))


def test_a_dead_guest_that_does_not_end_is_not_waited_for(qemu: Qemu) -> None:
    body = f"console.sendall(open({str(PANIC)!r}, 'rb').read()); signal.pause()"
    with qemu(body) as machine, pytest.raises(KernelDied):
        to_the_end(machine, Deadlines(boot=50, end=0.1))


def test_a_hung_kernel(qemu: Qemu) -> None:
    with (
        qemu("qmp(); records.sendall(introduction); signal.pause()") as machine,
        pytest.raises(KernelHung, match="The guest hangs after record 0"),
    ):
        to_the_end(machine, SHORT)


def test_a_hung_test(qemu: Qemu) -> None:
    body = """
records.sendall(introduction)
number = console.recv(100).decode().split()[1]
console.sendall(f"ping {number}\\r\\npong-{number}\\r\\n".encode())
signal.pause()
"""
    with qemu(body) as machine, pytest.raises(TestHung, match="play after record 0 does not end"):
        to_the_end(machine, Deadlines(play=0.1, ping=30))


def test_a_guest_that_answers_only_when_it_is_asked_again(
    qemu: Qemu, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console, "PING_SECONDS", 0.01)
    body = """
records.sendall(introduction)
lines = console.makefile()
pings = [lines.readline() for _ in range(3)]
console.sendall(f"pong-{pings[-1].split()[1]}\\r\\n".encode())
signal.pause()
"""
    with qemu(body) as machine, pytest.raises(TestHung, match="the guest still answers"):
        to_the_end(machine, Deadlines(play=0.1, ping=30))


@pytest.mark.parametrize(
    ("body", "deadlines", "sentence"),
    [
        ("os.kill(os.getpid(), signal.SIGSTOP)", SHORT, r"stopped by a signal"),
        # Nobody answers QMP.
        ("listener.close(); signal.pause()", SHORT, r"QEMU itself does not answer"),
        (
            "qmp('io-error'); signal.pause()",
            SHORT,
            r"stopped the guest, whose state is 'io-error'",
        ),
        ("os.kill(os.getpid(), signal.SIGKILL)", PATIENT, r"QEMU was killed by SIGKILL"),
        # As QEMU says it, with status 0.
        (
            "sys.exit(print('qemu: terminating on signal 15 from pid 1 (init)', file=sys.stderr))",
            PATIENT,
            r"QEMU was ended by a signal\. qemu: terminating on signal 15 from pid 1",
        ),
    ],
)
def test_an_end_of_qemus_is_not_the_kernels(
    qemu: Qemu, body: str, deadlines: Deadlines, sentence: str
) -> None:
    with (
        qemu(f"records.sendall(introduction); {body}") as machine,
        pytest.raises(MachineError, match=sentence),
    ):
        to_the_end(machine, deadlines)


def test_a_power_off_counts_before_a_signal(qemu: Qemu) -> None:
    body = "records.sendall(data); console.sendall(bye); print('terminating on signal 15')"
    with qemu(body) as machine:
        assert len(to_the_end(machine, PATIENT)) == PLANNED


FLOODS = {
    "noise on the channel": "records.sendall(introduction + b'x' * 100)",
    "no end of a line": "records.sendall(b'0' * 70000)",
    "introductions": "records.sendall(introduction)",
    "a record without end": "records.sendall(b'\\x8aJP\\x01' + bytes(100))",
    "the console": "console.sendall(b'noise\\n' * 1000)",
    "a line without end on the console": "console.sendall(b'noise' * 1000)",
    "complaints": "console.sendall(b'WARNING: CPU: 0 PID: 1 at kernel/x.c:1\\n' * 100)",
}


@pytest.mark.parametrize("body", FLOODS.values(), ids=FLOODS.keys())
def test_a_flood_is_no_way_past_the_deadline(qemu: Qemu, body: str) -> None:
    """Nor does it take memory: at 100 MB/s, a tenth of a second would show."""
    start = f"qmp(); records.sendall(introduction)\nwhile True: {body}"
    with qemu(start) as machine:
        session = Session(machine, deadlines=SHORT, preloaded=True)
        tracemalloc.start()
        try:
            with pytest.raises(KernelFault):
                session.introduce()
                session.play(["x"] * PLANNED)
                list(session.records())
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert peak < 8 << 20


def test_a_guest_that_does_not_listen(qemu: Qemu) -> None:
    with qemu("signal.pause()") as machine:
        session = Session(machine, deadlines=SHORT)
        with pytest.raises(KernelHung, match="does not take what it is sent"):
            for _ in range(10000):
                session.send("x" * 1000)


def test_plays_that_are_slow_one_after_the_other(
    qemu: Qemu, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Deadlines, "whole", lambda self, planned: 0.3)
    body = """
records.sendall(introduction)
for record in (first, *others):
    time.sleep(0.15)
    records.sendall(record)
"""
    with (
        qemu(body) as machine,
        pytest.raises(TestHung, match=rf"of {PLANNED} plays took 0\.3 s together"),
    ):
        to_the_end(machine, PATIENT)


def test_a_qemu_that_ends_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anybody could have connected to it."""
    program = tmp_path / "qemu-system-aarch64"
    program.write_text("#!/bin/sh\necho no such machine >&2\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    vm.version.cache_clear()
    for _ in range(20):
        machine = running(Machine(tmp_path / "Image"), b"initrd")
        with pytest.raises(MachineError, match="status 1: no such machine"), machine:
            pass
