# SPDX-License-Identifier: GPL-2.0-only
"""
A run that is ended at any moment: what was judged is written, and nothing is left behind.

JPROBE_MOMENTS is the number of moments, JPROBE_SEED the seed that they are drawn from; without
a seed they differ each time.
"""

from __future__ import annotations

import json
import os
import random
import re
import select
import signal
import subprocess
import time

import pytest

from tests.faults.catalogue.stops import NIGHT, PLAYING, code, kills, wrote
from tests.faults.fault import Inject
from tests.faults.inject import arguments, both, built, matrix, patched
from tests.faults.place import SECONDS, Place, Ran, end, orphans
from tests.faults.replay import replayed
from tests.unit.standin import source_tree

MOMENTS = int(os.environ.get("JPROBE_MOMENTS", "10"))
SEED = int(os.environ.get("JPROBE_SEED", random.randrange(1 << 32)))
SUMMARY = re.compile(
    r"(\d+) of \d+ (?:plays on \S+ were judged|units of nightly run \d+ are stored)"
)
# Within these a build is ended; it would take a minute.
BUILD_SECONDS = 8.0
_CONFIGURED = "\t@echo CONFIG_ARM64=y >>$(O)/.config\n"
_SLOW = """\
	@for one in $$(seq 60); do echo "  CC      $$one.o"; echo half >$(O)/half.o; \\
		sleep 600 & sleep 1; kill $$!; done
"""


def slow_build(place: Place) -> None:
    """Have a tree whose compiler takes long, and leaves half an object meanwhile."""
    tree = source_tree(place.work / "linux", "6.1")
    text = (tree / "Makefile").read_text()
    configured = "> $(O)/.config\n\n# A"
    assert configured in text
    text = text.replace(configured, configured.replace("\n\n", f"\n{_CONFIGURED}\n"))
    (tree / "Makefile").write_text(text.replace("\nbuilt:\n", f"\nbuilt:\n{_SLOW}"))
    place.words += ["--kernel", str(tree)]


def ended(place: Place, seconds: float) -> Ran:
    """Run the command, and end it by SIGTERM so many seconds after its start."""
    with place.started() as process:
        try:
            output, _ = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGTERM)
            output, _ = process.communicate(timeout=SECONDS)
    return Ran(process.returncode, output)


def check(place: Place, ran: Ran) -> None:
    """What is reported is written, and nothing is left."""
    out = place.work / "out.json"
    # Before and after it handles signals, it may die of one: it has nothing to write or remove.
    assert ran.status in (0, 3, -signal.SIGTERM), ran.output
    assert "Traceback" not in ran.output
    if ran.status != -signal.SIGTERM:
        reported = SUMMARY.search(ran.output)
        assert ran.status == 0 or "ended by SIGTERM" in ran.output, ran.output
        assert bool(reported) <= out.exists(), ran.output
        if reported:
            document = json.loads(out.read_text())
            assert len(document.get("verdicts", document.get("units"))) == int(reported[1])
    assert place.left() == []
    out.unlink(missing_ok=True)


@pytest.mark.full
@pytest.mark.parametrize(
    ("inject", "says", "seconds"),
    [
        (both(built, arguments("--json", "out.json")), "plays on", None),
        (
            both(built, matrix(NIGHT), arguments("--jobs", "1", "--json", "out.json")),
            "units of nightly run",
            None,
        ),
        (
            both(slow_build, arguments("--json", "out.json")),
            "building linux was not finished",
            BUILD_SECONDS,
        ),
    ],
    ids=["repro", "nightly", "a build"],
)
def test_at_random_moments(inject: Inject, says: str, seconds: float | None, place: Place) -> None:
    print(f"JPROBE_MOMENTS={MOMENTS} JPROBE_SEED={SEED}")
    inject(place)
    if seconds is None:
        begin = time.monotonic()
        ran = place.run()
        assert ran.status == 0, ran.output
        seconds = time.monotonic() - begin
        (place.work / "out.json").unlink()
    dice = random.Random(SEED)
    said = []
    for _ in range(MOMENTS):
        ran = ended(place, dice.uniform(0, seconds))
        check(place, ran)
        said.append(ran.output)
    # At least one moment fell into the work itself.
    assert any(says in output for output in said), said


def test_a_terminal_that_is_closed(place: Place) -> None:
    replayed()(place)
    arguments("--json", "out.json", "--junit", "out.xml")(place)
    patched(code(PLAYING, "os.write(1, b'REACHED'), signal.pause()"))(place)
    terminal = place.on_terminal(80)
    terminal.expect("REACHED")
    assert terminal.pid
    pid = os.pidfd_open(terminal.pid)
    os.close(terminal.fileno())
    assert select.select([pid], [], [], SECONDS)[0]
    os.close(pid)
    wrote(2)(place)
    terminal.wait()
    assert place.left() == []


def _stopped_with(place: Place, further: str) -> Ran:
    """End a run while it plays, with `further` code that breaks something in the program."""
    replayed()(place)
    patched(code(PLAYING, kills("SIGTERM")) + further)(place)
    arguments("--json", "out.json", "--junit", "out.xml")(place)
    return place.run()


def test_a_version_that_keeps_its_folders_is_red(place: Place) -> None:
    ran = _stopped_with(
        place, "import harness.host.temporary\nharness.host.temporary._remove = lambda path: None\n"
    )
    with pytest.raises(AssertionError, match="jprobe-own-"):
        check(place, ran)


def test_a_version_that_reports_nothing_of_what_was_judged_is_red(place: Place) -> None:
    ran = _stopped_with(
        place, "from harness.commands import output\noutput.each = lambda *steps: None\n"
    )
    with pytest.raises(FileNotFoundError):
        wrote(2)(place)
    with pytest.raises(AssertionError):
        check(place, ran)


def test_a_version_that_leaves_its_programs_is_red(place: Place) -> None:
    place.program("make", "kill -TERM $PPID; exec sleep 30 2>/dev/null >/dev/null")
    patched("import harness.host.tool\nharness.host.tool.end = lambda processes: None\n")(place)
    ran = place.run()
    try:
        with pytest.raises(AssertionError, match="process sleep"):
            check(place, ran)
    finally:
        for pid in orphans():
            end(pid)
