# SPDX-License-Identifier: GPL-2.0-only
"""A tracer: how it is attached, and by which rule it reads from which release on."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from harness.model.case import Case
from harness.tracers.reading import Reading, Traced
from harness.tracers.rules import Rule

Release = tuple[int, int]


class Kind(enum.Enum):
    """What a tracer is attached with."""

    # An event of tracefs, on each function by itself.
    EVENT = "event"
    # A tracer of tracefs, on all functions that a filter names.
    FUNCTIONS = "functions"
    # A BPF program.
    PROGRAM = "program"
    # An ftrace_ops of our own module.
    REDIRECT = "redirect"


@dataclass(frozen=True)
class Ruled:
    """What is known of a tracer from one release on."""

    since: Release
    rule: Rule
    # The files of the kernel that it is from.
    source: str


@dataclass(frozen=True)
class Tracer:
    """One way of tracing a function's entry."""

    name: str
    # How it is asked for.
    shows: str
    kind: Kind
    # What its kind needs to know besides.
    options: Mapping[str, str]
    # What the kernel has to be configured with.
    needs: tuple[str, ...]
    # Oldest first.
    rules: tuple[Ruled, ...]
    # Those that the rules were held against.
    checked: tuple[Release, ...]

    @property
    def since(self) -> Release:
        """The first release that has it."""
        return self.rules[0].since

    @property
    def before_handlers(self) -> bool:
        """Whether it reads before the handler of a jprobe that was there first."""
        return self.kind is Kind.EVENT and self.options["event"] == "p"

    @property
    def calls_again(self) -> bool:
        """Whether the function is called anew, past all that is on its entry."""
        return self.kind is Kind.REDIRECT

    def _heeds_notrace(self, has: Callable[[str], bool]) -> bool:
        """Whether it is refused where ftrace may not patch, of which kprobes have no need."""
        if self.kind is Kind.EVENT and self.options["event"][0] in "pr":
            # kernel/trace/trace_kprobe.c (within_notrace_func)
            lifted = has("CONFIG_KPROBE_EVENTS_ON_NOTRACE")
            return has("CONFIG_DYNAMIC_FTRACE") and not lifted
        return True

    def takes(self, case: Case) -> bool:
        """Return whether a case can be played: the kernel's own functions have no twin."""
        return not (case.real and self.kind is Kind.REDIRECT)

    def ruled(self, release: Release) -> Ruled | None:
        """Return what holds for a release, None before the first that has the tracer."""
        held = [one for one in self.rules if one.since <= release]
        return held[-1] if held else None

    def predict(
        self, release: Release, has: Callable[[str], bool], traced: Traced
    ) -> Reading | None:
        """
        Return what is made of a function, None on a release that is newer than any checked.

        `has` tells whether the kernel is configured with an option.
        """
        if release > max(self.checked):
            return None
        ruled = self.ruled(release)
        if ruled is None:
            first = ".".join(map(str, self.since))
            return Reading(refused=f"not before v{first}")
        if missing := [option for option in self.needs if not has(option)]:
            return Reading(refused=f"the kernel is built without {missing[0]}")
        if not traced.traceable and self._heeds_notrace(has):
            return Reading(refused="notrace")
        return ruled.rule(traced)
