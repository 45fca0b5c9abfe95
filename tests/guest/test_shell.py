# SPDX-License-Identifier: GPL-2.0-only
"""A scripted user at a guest's prompt."""

from __future__ import annotations

import re
import select
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pexpect
import pytest

from harness.cases.catalog import Catalog
from harness.errors import Exit
from harness.guest.initramfs import Channel
from harness.inspect.guest import Guest, booted
from harness.inspect.shell import RECIPE, play_all, tables
from harness.kernel.kernel import Kernel
from harness.model.observation import Observation
from harness.modules import build as modules
from harness.run import boot, job
from harness.run.boot import Contents
from harness.run.plan import plays
from harness.steps import listening
from harness.tracers import catalog as tracers
from harness.tracers.reading import Read
from harness.tracing import run as tracing
from harness.tracing import tables as tracing_tables
from harness.tracing.function import BPFFS, TRACEFS
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


# What is printed of a tracer, and the exit status.
TRACED = {
    "stack-9 kprobe": (r"e0: \(jpcase_stack_9_target\+0x0/\S+ .* v7=0x52473c31261b1005 v8=0x0", 0),
    "by-ref-24 kprobe-exact": (r" v2=0xcbc0b5aa9f94897e v3=0x24190e03f7ece1d6 v4=\S+", 0),
    "stack-9 kretprobe": (r" <- jpcase_stack_9_target\) v0=0x4e43382d22170c01 .* v8=0x0", 0),
    "stack-9 kprobe-btf": (r" a0=5639412924894612481 .* a8=0$", 0),
    "stack-9 fprobe": (r" v0=0x4e43382d22170c01 .* v8=0x0", 0),
    "stack-9 func-args": (r"jpcase_stack_9_target\(a0=5639412924894612481, .*, \.\.\.\)", 0),
    "stack-9 funcgraph-args": (r"jpcase_stack_9_target.*\(a0=5639412924894612481, ", 0),
    "stack-9 fentry": (r"slot 8  0x776c61564b40352a", 0),
    "stack-9 fmod-ret": (r"slot 8  0x776c61564b40352a", 0),
    "struct-16-aligned fexit": (r"slot 9  0x[0-9a-f]{16}\s+slot 10 0x9c91867b70655a4f", 0),
    "stack-9 kprobe-multi": (r"slot 7  0x52473c31261b1005\s*$", 0),
    "by-ref-24 fentry": (r"^refused: load: error 22: The function jpcase_by_ref_24_target ", 1),
    "no-such kprobe": (r"^There is no case 'no-such' on a function of the modules", 2),
    "stack-9 no-such": (r"^There is no tracer 'no-such'; see: jprobe-case tracers", 2),
}
LEFT = (
    f"cat {TRACEFS}/dynamic_events; ls {TRACEFS}/instances {BPFFS};"
    f" grep -h . {TRACEFS}/current_tracer; ls -d /run/jprobe-case"
)


@pytest.fixture(scope="module")
def newest(catalog: Catalog) -> Iterator[Guest]:
    """A guest with a shell on a kernel that has all tracers."""
    kernel, built = job.prepare_shell("debian:7.2", catalog)
    added = tables(catalog) + tracing_tables.archive(kernel, built, catalog.cases.values())
    with booted(kernel, built, contents=Contents((boot.MINIMAL, RECIPE), added)) as guest:
        yield guest


@pytest.mark.parametrize("words", TRACED)
def test_what_a_tracer_reads_is_shown_in_the_guest(newest: Guest, words: str) -> None:
    printed, status = TRACED[words]
    ran = newest.run(f"PATH=/bin jprobe-case trace {words}", seconds=SECONDS)
    assert re.search(printed, ran.output), ran.output
    assert ran.status == status
    # All that was attached is gone.
    left = newest.run(LEFT).output
    assert "jprobe" not in left.replace("ls: /run/jprobe-case: No such file or directory", "")
    assert re.search(r"^nop$", left, re.MULTILINE)


def test_what_a_user_traces_is_left_alone(newest: Guest) -> None:
    mine = f"echo 'p:mine/one jpcase_stack_9_target v=$arg2' >>{TRACEFS}/dynamic_events"
    newest.run(f"{mine}; echo 1 >{TRACEFS}/events/mine/one/enable")
    for tracer in ("kprobe", "fexit"):
        assert newest.run(f"PATH=/bin jprobe-case trace stack-9 {tracer}").status == 0
    lines = newest.run(f"grep -c ' one: ' {TRACEFS}/trace").output
    assert lines == "2\n"
    assert "p:mine/one" in newest.run(f"cat {TRACEFS}/dynamic_events").output
    newest.run(f"echo 0 >{TRACEFS}/events/mine/one/enable; echo >{TRACEFS}/dynamic_events")


def words(values: Sequence[bytes | None]) -> list[int]:
    """Return the words of what a tracer read, which nothing else lies between."""
    data = b"".join(value + bytes(-len(value) % 8) for value in values if value is not None)
    return [int.from_bytes(data[at : at + 8], "little") for at in range(0, len(data), 8)]


@pytest.mark.parametrize("words", ["trace stack-9 kprobe", "trace stack-9 fexit"])
def test_one_that_is_ended_is_in_nobodys_way(newest: Guest, words: str) -> None:
    command = f"jprobe-case {words}"
    begun = "until [ -d /run/jprobe-case ]; do :; done"
    newest.run(f"PATH=/bin; {command} >/dev/null 2>&1 & {begun}; kill $!; wait $!", SECONDS)
    ran = newest.run(f"PATH=/bin timeout 30 {command}", seconds=SECONDS)
    assert ran.status == 0, ran.output
    assert "jprobe_case" not in newest.run(LEFT).output


@pytest.mark.full
@pytest.mark.parametrize("name", ["kprobe", "fentry"])
def test_the_guest_shows_what_the_host_judges(newest: Guest, catalog: Catalog, name: str) -> None:
    """In the guest, each tracer is on the function that it is on from the host."""
    cases = catalog.select_cases(["struct-*", "by-ref-*", "mix-*", "stack-1*"])
    found = tracing.run(newest.kernel, newest.modules, tracers.select([name]), cases)
    assert len(found.cells) == len(cases)
    for cell in found.cells:
        ran = newest.run(f"PATH=/bin jprobe-case trace {cell.case.name} {name}", SECONDS)
        assert ran.status == bool(cell.seen.refused), ran.output
        # An address is another one in each call, and so is what no argument has put in a register.
        differs = any(passed.at for passed in cell.passed) or Read.ANOTHER in cell.reads
        if not ran.status and not differs:
            shown = re.findall(r"(?:=| )0x([0-9a-f]+)(?=\s)", ran.output)
            assert [int(word, 16) for word in shown] == words(cell.seen.values), cell.case.name


def test_a_tracer_in_a_shell(user: User) -> None:
    child = user("shell")
    child.expect(PROMPT)
    child.sendline("jprobe-case trace stack-9 kprobe; echo status $?")
    child.expect(r"e0: \(jpcase_stack_9_target")
    child.expect_exact("status 0\r\n")
    child.sendline("jprobe-case trace stack-9 fexit; echo status $?")
    child.expect("refused: ")
    child.expect_exact("status 1\r\n")
    # It is judged after that, and before.
    child.sendline("jprobe-case run stack-9 none; echo status $?")
    child.expect_exact("leak 8, as predicted")
    child.expect_exact("status 0\r\n")
    child.sendline("jprobe-case tracers")
    child.expect("kprobe +.arg1")
    child.sendline("exit")
    assert ended(child) == Exit.AGREES


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
