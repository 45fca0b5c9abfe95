# SPDX-License-Identifier: GPL-2.0-only
"""
What kprobe events read of the cases' arguments by `where`'s expressions: all.

perf probe writes events with its expressions as they are (tests/compilers/test_fetch.py).

The events are registered last, so that they see a hit before the jprobe's handler does.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import pytest

from harness.abi.ctype import VA_LIST
from harness.abi.places import Piece
from harness.cases.catalog import Catalog
from harness.inspect.guest import Guest, booted
from harness.kernel.kernel import Kernel
from harness.measure.fetch import fetched
from harness.measure.located import Given, located
from harness.model.case import Case
from harness.model.observation import Observation
from harness.modules import build as modules
from harness.modules.casefunctions import symbol

FOLDER = "/sys/kernel/tracing"
# Of one event; the kernel takes up to 128.
ARGUMENTS = 48
RECORD = re.compile(r": (e\d+): \([^)]*\)(.*)$", re.MULTILINE)


@dataclass(frozen=True)
class Event:
    """A kprobe event on the target of a case."""

    name: str
    case: Case
    # The fetch arguments, and what each has to read.
    fetches: tuple[tuple[str, int], ...]

    @property
    def definition(self) -> str:
        words = " ".join(f"v{at}={fetch}" for at, (fetch, _) in enumerate(self.fetches))
        return f"p:jp/{self.name} probe_targets:{symbol(self.case, 'target')} {words}"


@pytest.fixture(scope="module")
def guest(kernel: Kernel, catalog: Catalog) -> Iterator[Guest]:
    built = modules.build(kernel, list(catalog.cases.values()))
    with booted(kernel, built) as running:
        running.run(f"/bin/busybox mount -t tracefs none {FOLDER}")
        yield running


def cases_of(catalog: Catalog) -> list[Case]:
    """Return the cases on functions of ours whose arguments' bytes are all known."""
    return [
        case
        for case in catalog.cases.values()
        if not case.real and VA_LIST not in {a.type for a in case.arguments[: case.named]}
    ]


def played(guest: Guest, catalog: Catalog, case: Case) -> Observation:
    outcome = guest.play(catalog.variants["none"], case)
    assert outcome.verdict, outcome.reasons
    return outcome.verdict.observation


@dataclass(frozen=True)
class Trace:
    """What events read first, by name, and what the guest recorded of each case."""

    read: Mapping[str, list[int]]
    recorded: Mapping[str, Observation]


def traced(guest: Guest, catalog: Catalog, events: Sequence[Event]) -> Trace:
    """Play each event's case."""
    for event in events:
        ran = guest.run(f"echo '{event.definition}' >> {FOLDER}/kprobe_events")
        assert ran.status == 0, (event.definition, ran.output)
    guest.run(f"echo 1 > {FOLDER}/events/jp/enable")
    cases = dict.fromkeys(event.case for event in events)
    recorded = {case.name: played(guest, catalog, case) for case in cases}
    shown = guest.run(f"/bin/busybox cat {FOLDER}/trace").output
    guest.run(f"echo 0 > {FOLDER}/events/jp/enable")
    guest.run(f"echo > {FOLDER}/trace; echo > {FOLDER}/kprobe_events")
    found: dict[str, list[int]] = {}
    for name, words in RECORD.findall(shown):
        found.setdefault(name, [int(word.partition("=")[2], 0) for word in words.split()])
    return Trace(found, recorded)


def value(case: Case, index: int, start: int, width: int) -> int:
    octets = int.from_bytes(case.arguments[index].value, "little")
    return octets >> start & (1 << width) - 1


def exact(case: Case) -> Iterator[tuple[Piece, int]]:
    """Yield each piece of the case's named arguments, and the bits that the caller passes."""
    given = [Given(f"a{i}", "", a.type) for i, a in enumerate(case.arguments[: case.named])]
    for index, argument in enumerate(located(given, case.layout)):
        for part in argument.parts:
            start = part.start
            for piece in part.pieces:
                yield piece, value(case, index, start, piece.width)
                start += piece.width


def in_events(fetches: Mapping[Case, Sequence[tuple[str, int]]]) -> list[Event]:
    made: list[Event] = []
    for case, words in fetches.items():
        for first in range(0, len(words), ARGUMENTS):
            name = f"e{len(made)}"
            made.append(Event(name, case, tuple(words[first : first + ARGUMENTS])))
    return made


def wrong(trace: Trace, events: Sequence[Event]) -> list[str]:
    return [
        f"{event.case.name}: {fetch}"
        for event in events
        for read, (fetch, passed) in zip(
            trace.read.get(event.name, [-1] * len(event.fetches)), event.fetches, strict=True
        )
        if read != passed
    ]


def unboxed(catalog: Catalog) -> list[Case]:
    return [case for case in cases_of(catalog) if not any(a.boxed for a in case.arguments)]


def events_of(cases: Sequence[Case], syntax: str = "kprobe") -> list[Event]:
    return in_events(
        {
            case: [(fetched(syntax, piece), passed) for piece, passed in exact(case)]
            for case in cases
        }
    )


@pytest.mark.parametrize("syntax", ["kprobe", pytest.param("perf", marks=pytest.mark.full)])
def test_the_expressions_read_every_byte(guest: Guest, catalog: Catalog, syntax: str) -> None:
    cases = unboxed(catalog)
    for case in cases:
        # The jprobes are there before the events.
        played(guest, catalog, case)
    events = events_of(cases, syntax)
    assert sum(len(event.fetches) for event in events) > 1000
    assert wrong(traced(guest, catalog, events), events) == []
    # The positive control: the next slot, or register.
    off = {"$stack0": "$stack1", "%x1:": "%x2:"}
    (case,) = catalog.select_cases(["stack-10"])
    for right, other in off.items():
        (event,) = events_of([case])
        fetches = tuple((f.replace(right, other), passed) for f, passed in event.fetches)
        event = Event("e0", case, fetches)
        assert len(wrong(traced(guest, catalog, [event]), [event])) == 1
