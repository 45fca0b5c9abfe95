# SPDX-License-Identifier: GPL-2.0-only
"""A scripted user at a guest's prompt."""

from __future__ import annotations

import re
import select
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pexpect
import pytest

from harness.cases.catalog import Catalog
from harness.errors import Exit
from harness.guest.initramfs import Channel
from harness.inspect.guest import booted
from harness.inspect.shell import RECIPE, play_all, tables
from harness.kernel.kernel import Kernel
from harness.model.observation import Observation
from harness.modules import build as modules
from harness.run import boot
from harness.run.boot import Contents
from harness.run.plan import plays
from harness.steps import listening
from tests.guest.conftest import BrokenTree
from tests.listener import Heard

SECONDS = 60
PROMPT = r"guest:\S+# "
ESCAPE = "\x1d"

# Writes to the clipboard, colours, and asks for the cursor's position, with ESC and with C1.
HOSTILE = r"printf '\033]52;c;AA\007a\033[31mred\033[m\033[6n\302\2336nend\n'"
HARMLESS = "a\x1b[31mred\x1b[m6nend\r\n"

User = Callable[..., "pexpect.spawn[str]"]


@pytest.fixture
def user(kernel: Kernel, tmp_path: Path) -> Iterator[User]:
    """Yield a function that starts the command in a terminal of 80 columns."""
    started: list[pexpect.spawn[str]] = []

    def start(*words: str) -> pexpect.spawn[str]:
        command = ["jprobe-harness", *words, "--kernel", kernel.spec]
        log = (tmp_path / f"terminal-{len(started)}").open("w")
        child = pexpect.spawn(
            command[0], command[1:], encoding="utf-8", timeout=SECONDS, dimensions=(24, 80),
            logfile=log,
        )  # fmt: skip
        started.append(child)
        return child

    yield start
    for child in started:
        child.close(force=True)


def ended(child: pexpect.spawn[str]) -> int | None:
    """Wait for the end of a command, and return its exit status."""
    child.expect(pexpect.EOF)
    child.wait()
    return child.exitstatus


def test_a_prompt_to_work_at(user: User, tmp_path: Path) -> None:
    shared = tmp_path / "my files"
    shared.mkdir()
    (shared / "note").write_text("from the host\n")
    child = user("shell", "--share", str(shared))
    child.expect(PROMPT)
    child.sendline("stty size; cat /mnt/my_files/note; touch /mnt/my_files/x")
    child.expect("24 80\r\nfrom the host\r\n.*Read-only file system")

    for variant, words, status in (
        ("fixed-128", "intact, as predicted", 0),
        ("none", "leak 8, as predicted", 0),
        ("fixed:4", "leak 4, as predicted", 0),
        ("nothing", "There is no variant 'nothing'", 2),
    ):
        child.sendline(f"jprobe-case run stack-9 {variant}; echo status $?")
        if not status:
            child.expect_exact(f"stack-9 under {variant}")
            child.expect_exact("argument area, from SP\r\n")
        child.expect_exact(words)
        child.expect_exact(f"status {status}\r\n")
    child.sendline("jprobe-case dump; echo status $?")
    child.expect(r"jprobe-harness dump (\S+)\r\nstatus 0\r\n")
    assert isinstance(child.match, re.Match)
    run = child.match[1]
    shown = subprocess.run(
        ["jprobe-harness", "dump", run], capture_output=True, text=True, timeout=SECONDS
    )
    assert "stack-9: the jprobes as the kernel left them" in shown.stdout, shown.stderr
    child.sendline("jprobe-case run no-such none; echo status $?")
    child.expect_exact("There is no case 'no-such'")
    child.sendline("jprobe-case variants")
    child.expect("fixed-64 +min")

    # Colours get through, and nothing else does.
    child.sendline(HOSTILE)
    child.expect_exact(HARMLESS)
    assert not re.search(r"\x1b\]|\x1b\[\d*n", (tmp_path / "terminal-0").read_text())

    # The guest gets all keys, Ctrl-C among them, and the window's size.
    child.sendline("cat")
    child.sendline("hello")
    child.expect("hello\r\nhello\r\n")
    child.sendintr()
    child.expect(PROMPT)
    child.setwinsize(40, 132)
    child.sendline("until [ \"$(stty size)\" = '40 132' ]; do usleep 1000; done; echo resized")
    child.expect("\r\nresized")
    child.sendline("exit")
    assert ended(child) == Exit.AGREES


def test_a_prompt_in_a_clone(user: User) -> None:
    """All of it works there, and the window has another size than that of the snapshot."""
    for options in ("--cold",), (), ():
        child = user("shell", *options)
        child.setwinsize(30, 90)
        child.expect(PROMPT)
        child.sendline("until [ \"$(stty size)\" = '30 90' ]; do usleep 1000; done; echo resized")
        child.expect("\r\nresized")
        child.sendline("jprobe-case run stack-9 none; echo status $?")
        child.expect_exact("leak 8, as predicted")
        child.expect_exact("status 0\r\n")
        child.sendline("jprobe-case dump; echo status $?")
        child.expect(r"jprobe-harness dump (\S+)\r\nstatus 0\r\n")
        assert isinstance(child.match, re.Match)
        run = child.match[1]
        child.sendline("exit")
        assert ended(child) == Exit.AGREES
        said = {
            words: subprocess.run(
                ["jprobe-harness", *words], capture_output=True, text=True, timeout=SECONDS
            ).stdout
            for words in (("dump", run), ("log", run, "--part", "console"))
        }
        shown, printed = said.values()
        assert "stack-9: the jprobes as the kernel left them" in shown
        assert ("Linux version" in printed) == bool(options)


def test_the_prompt_of_the_guest_that_a_case_was_played_in(user: User) -> None:
    child = user("repro", "--case", "stack-9", "--variant", "none", "--shell")
    child.expect("1 of 1 verdicts as predicted")
    child.expect(PROMPT)
    child.sendline("grep -c ^probe_targets /proc/modules; grep -c . /sys/kernel/debug/kprobes/list")
    child.expect("\r\n1\r\n2\r\n")
    child.send(ESCAPE)
    assert ended(child) == Exit.AGREES


def test_a_guest_that_dies_at_the_prompt(user: User) -> None:
    child = user("shell")
    child.expect(PROMPT)
    child.sendline("echo c >/proc/sysrq-trigger")
    child.expect("jprobe-harness: Kernel panic - not syncing: sysrq triggered crash")
    child.expect("See: jprobe-harness log 2")
    assert ended(child) == Exit.DIFFERS


def test_a_play_that_kills_the_kernel_is_the_last(
    kernel: Kernel, catalog: Catalog, broken_tree: BrokenTree
) -> None:
    chosen = catalog.select_cases(["stack-9", "stack-10", "stack-12"])
    root = broken_tree(
        "probe-targets/observe.c",
        "\tplay.handler_runs++;\n",
        '\tplay.handler_runs++;\n\tif (!strcmp(probe_playing->name, "stack-10"))\n\t\tBUG();\n',
    )
    built = modules.build(kernel, chosen, root=root)
    plan = plays(catalog.select_variants(["none"]), chosen)
    listener = Heard()
    guest = booted(kernel, built, contents=Contents((boot.MINIMAL, RECIPE), tables(catalog)))
    with guest as running, listening(listener):
        result = play_all(running, plan)
    assert not running.lives
    died = result.differing[0]
    assert listener.progressed == [
        ("playing", done, len(plan)) for done in range(1, len(result.outcomes) + 1)
    ]
    assert (died.play.case.name, result.outcomes[-1]) == ("stack-10", died)
    assert died.reasons[0].startswith("KernelDied")
    assert result.exit_status == Exit.DIFFERS


def test_without_a_terminal(kernel: Kernel) -> None:
    done = subprocess.run(
        ["jprobe-harness", "shell", "--kernel", kernel.spec],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=SECONDS,
    )  # fmt: skip
    assert done.returncode == Exit.USAGE
    assert "needs a terminal" in done.stderr
    assert "jprobe-harness ssh -- COMMAND" in done.stderr


def test_several_guests_are_one_too_many(user: User) -> None:
    child = user("repro", "--shell", "--kernel", "debian:5.10")
    child.expect("Only one guest can have a shell")
    assert ended(child) == Exit.USAGE


def test_a_prompt_on_a_serial_line_alone(kernel: Kernel, catalog: Catalog) -> None:
    built = modules.build(kernel, list(catalog.cases.values()))
    contents = Contents((boot.MINIMAL, RECIPE), tables(catalog), Channel.SERIAL)
    with booted(kernel, built, contents=contents) as guest:
        session = guest.session
        heard: list[str] = []
        session.console.echo = heard.append
        session.console.send_line("jprobe-case run stack-9 none; echo status $?")
        record = session.await_record(SECONDS)
        assert isinstance(record, Observation)
        assert record.line == "stack-9 none 0"
        deadline = time.monotonic() + SECONDS
        while "status 0\r\n" not in "".join(heard):
            assert select.select([session], [], [], deadline - time.monotonic())[0]
            session.look()
