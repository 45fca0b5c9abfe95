# SPDX-License-Identifier: GPL-2.0-only
"""A scripted user in GDB, at a jprobe's hit."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pexpect
import pytest
from pygdbmi.gdbcontroller import GdbController

from harness.abi.aapcs64 import Placement
from harness.cases.catalog import Catalog
from harness.errors import ConfigError, Exit
from harness.inspect.debug import Debugged
from harness.inspect.guest import Guest, booted
from harness.kernel.kernel import Kernel
from harness.model.case import Case
from harness.modules import build as modules
from harness.run.plan import plays
from harness.vm.gdb import GDB
from harness.vm.machine import Config

SECONDS = 60
CASES = 20


@pytest.fixture(scope="module")
def guest(kernel: Kernel, catalog: Catalog) -> Iterator[Guest]:
    built = modules.build(kernel, list(catalog.cases.values()))
    with booted(kernel, built, Config(gdb=True)) as running:
        yield running


@pytest.fixture(scope="module")
def debugged(guest: Guest) -> Debugged:
    return Debugged(guest, None)


def where(placement: Placement) -> str:
    """Return a placement as `jp-args` prints it."""
    if placement.stack is not None:
        place = f"SP + {placement.stack}"
    else:
        place = ", ".join(f"x{number}" for number in placement.general)
    return f"copy at [{place}]" if placement.by_reference else place


def gdb(script: Path, *commands: str) -> str:
    """Run GDB commands at the hit, then let the guest go on; return what GDB printed."""
    words = [word for command in (*commands, "detach") for word in ("-ex", command)]
    done = subprocess.run(
        [GDB, "--nx", "--batch", "-x", script, *words],
        capture_output=True, text=True, timeout=SECONDS,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def various(catalog: Catalog) -> list[Case]:
    """Return cases in process context that have every kind of placement between them."""
    names = ("stack-*", "by-ref-*", "*struct*", "*pair*", "bool-*", "int128*", "overwrite-*")
    found = {c.name: c for c in catalog.cases.values() for n in names if Path(c.name).match(n)}
    return list(found.values())[:CASES]


def test_arguments_lie_where_the_model_puts_them(
    debugged: Debugged, guest: Guest, catalog: Catalog
) -> None:
    cases = various(catalog)
    assert len(cases) == CASES
    assert {p.by_reference for case in cases for p in case.layout.placements} == {True, False}
    for play in plays(catalog.select_variants(["none"]), cases):
        shown = gdb(debugged.stage(play), "jp-args")
        reported = re.findall(
            r"^argument (\d+): (.*), (\d+) bytes, (.*): (.*)$", shown, re.MULTILINE
        )
        assert [(type_, int(size), place) for _, type_, size, place, _ in reported] == [
            (argument.type.spelling, argument.type.size, where(placement))
            for argument, placement in zip(play.case.arguments, play.case.layout.placements)
        ]
        expected = ["as passed" if a.value else "made by the guest" for a in play.case.arguments]
        assert [state for *_, state in reported] == expected, shown
        # The guest has survived it, and what it reports is as predicted.
        record = guest.session.await_record(SECONDS)
        assert getattr(record, "line", "") == play.line


def test_what_a_handler_did_and_what_is_undone(
    debugged: Debugged, guest: Guest, catalog: Catalog
) -> None:
    (play,) = plays(catalog.select_variants(["fixed-64"]), catalog.select_cases(["stack-17"]))
    shown = gdb(
        debugged.stage(play),
        "jp-diff", "jp-save", "hbreak jprobe_return", "continue",
        "jp-args", "jp-diff", "jp-save", "delete", "continue", "jp-diff",
    )  # fmt: skip
    guest.session.await_record(SECONDS)
    before, handled = shown.split("Hardware assisted breakpoint")
    assert "Nothing has changed since the hit." in before
    assert "No jprobe is at work on this CPU." in before
    changed = re.findall(r"^argument (\d+): .*: changed: byte 0 to 7$", handled, re.MULTILINE)
    assert changed == [str(index) for index in play.case.handler.assign if index >= 8]
    assert "phase JPROBE_HANDLER\nsaved 64 bytes" in handled
    saved, after = handled.split("runs, after its handler")
    # Of the nine stacked words, eight are saved, and so the ninth alone stays changed.
    assert re.findall(r"^SP \+ (\d+) ", saved, re.MULTILINE) == [
        str(offset) for offset in (*range(0, 72, 8), *range(0, 64, 8))
    ]
    assert re.findall(r"^SP \+ (\d+) .*argument (\d+) ", after, re.MULTILINE) == [("64", "16")]


def test_what_a_signature_has_undone(debugged: Debugged, guest: Guest, catalog: Catalog) -> None:
    """Two ranges: the stacked words, and the struct that the last of them points at."""
    chosen = catalog.select_cases(["by-ref-address-stacked"])
    (play,) = plays(catalog.select_variants(["signature"]), chosen)
    shown = gdb(
        debugged.stage(play), "hbreak jprobe_return", "continue", "jp-save", "delete", "continue"
    )
    guest.session.await_record(SECONDS)
    _, _, handled = shown.partition("phase JPROBE_HANDLER\n")
    copied = sum(argument.type.size for argument in play.case.arguments[8:])
    assert f"saved {copied + 8} bytes" in handled
    owners = re.findall(r"^SP \+ \d+ .*  (argument .*), byte", handled, re.MULTILINE)
    assert "argument 8's copy" in owners
    assert not any("caller's own" in line for line in handled.splitlines())


def test_a_copy_is_named(debugged: Debugged, guest: Guest, catalog: Catalog) -> None:
    (play,) = plays(catalog.select_variants(["none"]), catalog.select_cases(["by-ref-24"]))
    shown = gdb(debugged.stage(play), "continue", "jp-diff", "jp-args")
    guest.session.await_record(SECONDS)
    assert "argument 1's copy, byte 0" in shown
    assert "copy at [x1]: changed: byte 0 to 23" in shown


def test_a_function_of_the_kernels_own(debugged: Debugged, guest: Guest, catalog: Catalog) -> None:
    """Others call it too, and only the call that counts leads to stops."""
    chosen = catalog.select_cases(["real-vprintk-emit"])
    (play,) = plays(catalog.select_variants(["none"]), chosen)
    shown = gdb(debugged.stage(play), "jp-args", "continue", "jp-diff", "bt 2")
    record = guest.session.await_record(SECONDS)
    assert getattr(record, "line", "") == play.line
    assert "argument 4: va_list, 32 bytes, copy at [x4]: made by the guest" in shown
    assert shown.count("runs, after its handler") == 1
    assert re.search(r"^SP \+ \d+ .*argument 4's copy, byte 24", shown, re.MULTILINE)
    assert re.search(r"#0 .* vprintk_emit \(\)\n#1 .* vprintk_default \(\)", shown)


def test_symbols_with_kaslr(kernel: Kernel, catalog: Catalog) -> None:
    built = modules.build(kernel, list(catalog.cases.values()))
    (play,) = plays(catalog.select_variants(["none"]), catalog.select_cases(["stack-9"]))
    with booted(kernel, built, Config(gdb=True, kaslr=True)) as guest:
        shown = gdb(
            Debugged(guest, None).stage(play), "bt", "info address _stext", "ptype probe_playing"
        )
        guest.session.await_record(SECONDS)
    assert re.search(r"#\d+ +(0x\w+ in )?jpcase_stack_9_call", shown)
    assert "in full_proxy_read ()" in shown
    assert "struct policy_jprobe jp;" in shown
    # The address that each stock kernel of this series is linked to.
    assert "ffff800008010000" not in shown


def test_a_vmlinux_of_another_kernel(guest: Guest) -> None:
    with pytest.raises(ConfigError, match=r"has no symbols|cannot be read"):
        Debugged(guest, guest.kernel.busybox)
    with pytest.raises(ConfigError, match="cannot be read"):
        Debugged(guest, Path("/no/vmlinux"))
    with pytest.raises(ConfigError, match="is not of the kernel that runs"):
        Debugged(guest, guest.modules.folder / "probe-targets.ko")


def command(kernel: Kernel, *words: str) -> list[str]:
    return ["jprobe-harness", "repro", "--kernel", kernel.spec, "--case", "stack-9",
            "--variant", "none", *words]  # fmt: skip


def test_the_users_terminal(kernel: Kernel) -> None:
    program, *words = command(kernel, "--gdb")
    child = pexpect.spawn(program, words, encoding="utf-8", timeout=SECONDS, dimensions=(40, 80))
    prompt = r"\(gdb\) $"
    child.expect(r"stack-9 under none: the probed function is called\.")
    child.expect(prompt)
    child.sendline("jp-args")
    child.expect(r"argument 8: long, 8 bytes, SP \+ 0: as passed")
    child.expect(prompt)
    child.sendline("detach")
    child.expect("detached")
    child.expect(prompt)
    # Ctrl-C is handled by GDB, and ends neither the guest nor the command.
    child.sendintr()
    child.expect(prompt)
    child.sendline("quit")
    child.expect("1 of 1 verdicts as predicted")
    child.expect(pexpect.EOF)
    child.wait()
    assert child.exitstatus == Exit.AGREES


@contextmanager
def waiting(kernel: Kernel, *words: str) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """Yield a command whose guest waits for a debugger, and the path of the GDB script."""
    with subprocess.Popen(
        command(kernel, "--gdb-wait", *words),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout
        try:
            attach = process.stdout.readline().split()
            assert attach[:2] == [GDB, "-x"]
            yield process, Path(attach[2])
        finally:
            process.terminate()


def heard(process: subprocess.Popen[str], words: str) -> None:
    """Wait until a command has printed `words` on its standard error."""
    assert process.stderr
    for line in process.stderr:
        if words in line:
            return
    raise AssertionError(f"it never said: {words}")


def attached(script: Path, *commands: str) -> str:
    """What a GDB says that does as its user is asked to."""
    words = [word for command in commands for word in ("-ex", command)]
    done = run([GDB, "-x", str(script), "--nx", "--batch", *words])
    return str(done.stdout + done.stderr)


def test_what_was_judged_is_reported_after_ctrl_c(kernel: Kernel) -> None:
    with waiting(kernel) as (process, script):
        attached(script, "detach")
        heard(process, "The play is over")
        process.send_signal(signal.SIGINT)
        reported, _ = process.communicate(timeout=SECONDS)
    assert process.returncode == Exit.AGREES
    assert "1 of 1 verdicts as predicted" in reported


def qemu_of(process: subprocess.Popen[str]) -> int:
    """Return the process ID of a command's QEMU, which replaced the process that executed it."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return next(int(pid) for pid in children if "qemu" in Path(f"/proc/{pid}/comm").read_text())


@pytest.mark.parametrize("judged", [False, True])
def test_a_qemu_that_is_killed(kernel: Kernel, judged: bool) -> None:
    with waiting(kernel) as (process, script):
        if judged:
            attached(script, "detach")
            heard(process, "The play is over")
        os.kill(qemu_of(process), signal.SIGKILL)
        reported, said = process.communicate(timeout=SECONDS)
    assert process.returncode == Exit.INFRASTRUCTURE
    assert "QEMU" in said
    # What was judged before stays reported.
    assert ("1 of 1 verdicts as predicted" in reported) == judged


def test_a_port_is_for_debugging_alone(kernel: Kernel, tmp_path: Path) -> None:
    """A port gives neither the monitor nor physical memory, even if GDB asks for them."""
    taken = tmp_path / "taken"
    asked = (
        f'monitor pmemsave 0x40000000 16 "{taken}"',
        "maint packet Qqemu.PhyMemMode:1",
        "maint packet qqemu.PhyMemMode",
        "monitor info version",
    )
    with waiting(kernel, str(free_port())) as (process, script):
        through_the_port = attached(script, *asked, "jp-args", "kill")
        assert process.wait(SECONDS) == Exit.INFRASTRUCTURE
    assert not taken.exists()
    assert "Target does not support this command" in through_the_port
    assert 'received: ""' in through_the_port
    assert 'received: "OK"' not in through_the_port
    # A debugger can still use the port.
    assert "argument 8: long, 8 bytes, SP + 0: as passed" in through_the_port
    # On the user's own socket, QEMU answers the same requests.
    with waiting(kernel) as (process, script):
        by_the_socket = attached(script, *asked, "kill")
        assert process.wait(SECONDS) == Exit.INFRASTRUCTURE
    assert taken.stat().st_size == 16
    assert 'received: "OK"' in by_the_socket


def test_a_debugger_elsewhere(kernel: Kernel) -> None:
    with waiting(kernel) as (process, script):
        reported = attached(script, "jp-args", "kill")
        # It was ended before there was a verdict.
        assert process.wait(SECONDS) == Exit.INFRASTRUCTURE
        heard(process, "before its play was over")
    assert "argument 8: long, 8 bytes, SP + 0: as passed" in reported


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


class Editor:
    """GDB/MI as an editor uses it."""

    def __init__(self, debugger: str) -> None:
        self._gdb = GdbController([debugger, "--nx", "--interpreter=mi3"])
        self.said = ""

    def do(self, command: str, until: str = "result") -> dict[str, Any]:
        """Send a command, and return the payload of the first record of that type or message."""
        self._gdb.write(command, read_response=False)
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            for record in self._gdb.get_gdb_response(SECONDS, raise_error_on_timeout=False):
                assert record["message"] != "error", record
                if record["type"] == "console":
                    self.said += record["payload"]
                if until in (record["type"], record["message"]):
                    return record["payload"] or {}
        raise AssertionError(f"no answer to {command}")

    def console(self, commands: list[dict[str, str]]) -> None:
        for command in commands:
            self.do(f'-interpreter-exec console "{command["text"]}"')

    def close(self) -> None:
        self._gdb.exit()


def test_an_editor(kernel: Kernel) -> None:
    """The commands that VS Code's debugger makes of its configuration, in that order."""
    with waiting(kernel, str(free_port())) as (process, script):
        (launch,) = json.loads(script.with_name("launch.json").read_text())["configurations"]
        with closing(Editor(launch["miDebuggerPath"])) as editor:
            editor.console(launch["setupCommands"])
            editor.do(f"-environment-cd {launch['cwd']}")
            editor.do(f"-file-exec-and-symbols {launch['program']}")
            editor.do(f"-target-select remote {launch['miDebuggerServerAddress']}")
            editor.console(launch["postRemoteConnectCommands"])
            stop = editor.do(f"-{launch['launchCompleteCommand']}", until="stopped")
            assert stop["frame"]["func"] == "jpcase_stack_9_target"
            editor.console([{"text": "jp-args"}])
            assert "argument 8: long, 8 bytes, SP + 0: as passed" in editor.said
            editor.do("-target-detach")
            # The guest goes on, and waits for the next debugger.
            heard(process, "The play is over")
            editor.do(f"-target-select remote {launch['miDebuggerServerAddress']}")
            editor.console([{"text": "kill"}])
        assert process.wait(SECONDS) == Exit.AGREES


def run(words: list[str], **arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, capture_output=True, text=True, timeout=SECONDS, **arguments)  # type: ignore[call-overload, no-any-return]


def test_a_busy_port(kernel: Kernel) -> None:
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        port = str(busy.getsockname()[1])
        done = run(command(kernel, "--gdb-wait", port))
    assert done.returncode == Exit.INFRASTRUCTURE
    assert "Address already in use" in done.stderr


def test_no_gdb(kernel: Kernel, tmp_path: Path) -> None:
    program = shutil.which("jprobe-harness")
    assert program
    words = [program, *command(kernel, "--gdb")[1:]]
    done = run(words, env={**os.environ, "PATH": str(tmp_path)})
    assert done.returncode == Exit.INFRASTRUCTURE
    assert f"{GDB} is not installed." in done.stderr
    assert "jprobe-harness doctor --install" in done.stderr


def test_more_than_one_play(kernel: Kernel) -> None:
    words = ["--case", "stack-9", "--variant", "fixed-*", "--gdb"]
    done = run(["jprobe-harness", "repro", "--kernel", kernel.spec, *words])
    assert done.returncode == Exit.USAGE
    assert "A debugger is for one play, and 2 are selected." in done.stderr
