# SPDX-License-Identifier: GPL-2.0-only
"""Every fault ends as it has to, leaves nothing behind, and the next run is clean."""

from __future__ import annotations

import re

import pytest

from harness import printable
from tests.faults.catalogue import FAULTS
from tests.faults.conftest import COMMAND
from tests.faults.fault import Fault
from tests.faults.place import Place, Ran, end

VERDICTS = re.compile(r"^(\d+) of (\d+) verdicts as predicted", re.MULTILINE)


def check(fault: Fault, place: Place, ran: Ran) -> None:
    """Check the status, sentence and verdicts of a fault, and that nothing is left behind."""
    assert ran.status == fault.ends, ran.output
    assert re.search(fault.says, ran.output), ran.output
    assert "Traceback" not in ran.output
    # No control sequence reaches the terminal.
    assert ran.output == printable.shown(ran.output)
    reported = VERDICTS.search(ran.output)
    if fault.ends == 0:
        assert reported, ran.output
        assert reported[1] == reported[2], ran.output
    else:
        assert int(reported[1] if reported else 0) == fault.kept, ran.output
    fault.also(place)
    if not fault.leaves:
        assert place.left() == []


@pytest.mark.parametrize(
    "fault",
    [pytest.param(fault, id=fault.name, marks=[pytest.mark.full] * fault.full) for fault in FAULTS],
)
def test_a_fault(fault: Fault, place: Place) -> None:
    fault.inject(place)
    check(fault, place, place.run())
    if fault.ends > 2 or fault.leaves:
        # What was made while something was wrong must not be used again.
        place.prefix = []
        for name in ("PATH", "XDG_STATE_HOME"):
            place.environment.pop(name, None)
        ran = place.run(COMMAND)
        assert ran.status == 0, ran.output
        assert place.left() == []
    if fault.heals:
        ran = place.run()
        assert ran.status == 0, ran.output
        assert not re.search(fault.says, ran.output), ran.output


def test_what_is_left_is_found(place: Place) -> None:
    (place.temporary / "jprobe-left").mkdir()
    (place.cache / "modules/.tmp-left").mkdir(parents=True)
    assert len(place.left()) == 2
    (place.temporary / "jprobe-left").rmdir()
    (place.cache / "modules/.tmp-left").rmdir()
    ran = place.run(["man"])
    assert ran.status == 0
    assert place.left() == []


def test_a_process_that_is_left_is_found(place: Place) -> None:
    place.program("jprobe-harness", "sleep 60 >/dev/null 2>&1 & echo $!")
    pid = int(place.run().output)
    try:
        assert place.left() == ["process sleep"]
    finally:
        end(pid)
    assert place.left() == []


@pytest.mark.parametrize(
    "ran",
    [
        Ran(1, "6 of 6 verdicts as predicted"),
        Ran(0, "5 of 6 verdicts as predicted"),
        Ran(0, ""),
        Ran(0, "6 of 6 verdicts as predicted\nTraceback"),
        Ran(0, "6 of 6 verdicts as predicted\x1b[2J"),
    ],
)
def test_another_end_is_red(place: Place, ran: Ran) -> None:
    with pytest.raises(AssertionError):
        check(Fault("nothing", lambda place: None), place, ran)
