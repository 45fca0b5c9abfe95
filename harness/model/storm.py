# SPDX-License-Identifier: GPL-2.0-only
"""
One jprobe that all CPUs hit at once, and what must hold for any interleaving.

On each CPU a task calls the probed function, and so do interrupts.  The function
takes eight words in registers and one on the stack, of which the handler inverts
every bit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from harness.model.context import Context
from harness.model.policy import Hit, Policy, Save, save

CONTEXTS = (Context.PROCESS, Context.HARDIRQ)
# Bytes of the stacked argument, at SP (rule C.16).
STACKED = 8


@dataclass(frozen=True)
class Caller:
    """The counts of one caller, which is a CPU's task or the interrupts on that CPU."""

    cpu: int
    context: Context
    calls: int
    # Runs of the handler, and of the probed function.
    handler: int
    target: int
    # Runs of the probed function that found the stacked argument as the handler left it.
    corrupt: int
    # Runs of handler or function in which an argument was not one that had been passed.
    wrong: int
    # The most handlers that ran at the same time as one of this caller's, which is included.
    at_once: int


@dataclass(frozen=True)
class Storm:
    """The guest's record of one storm."""

    # Position in the plan, from 1.
    seq: int
    # The plan's line, as the guest read it.
    line: str
    milliseconds: int
    # What the jprobe counted.
    hits: int
    missed: int
    skipped: int
    # The stack at one hit in each context, measured while there was no other caller.
    stacks: Mapping[Context, Hit]
    callers: tuple[Caller, ...]
    # Taint flags that the kernel gained during the storm.
    new_taint: int

    @property
    def handler(self) -> int:
        return sum(caller.handler for caller in self.callers)

    @property
    def corrupt(self) -> int:
        return sum(caller.corrupt for caller in self.callers)

    @property
    def at_once(self) -> int:
        """The most CPUs that were seen in the handler at the same time."""
        return max((caller.at_once for caller in self.callers), default=0)


def _saved(policy: Policy, hit: Hit) -> Save | None:
    return save(policy, hit, [(hit.sp, hit.sp + STACKED)])


def judge(policy: Policy, storm: Storm, cpus: int, milliseconds: int) -> tuple[str, ...]:
    """Return, in sentences, what is wrong after a storm on `cpus` CPUs."""
    return tuple(_mismatches(policy, storm, cpus, milliseconds))


def _mismatches(policy: Policy, storm: Storm, cpus: int, milliseconds: int) -> Iterator[str]:
    planned = [(cpu, context) for cpu in range(cpus) for context in CONTEXTS]
    if [(caller.cpu, caller.context) for caller in storm.callers] != planned:
        yield f"not all of {cpus} CPUs took part"
    if missing := [context.value for context in CONTEXTS if context not in storm.stacks]:
        yield f"nothing was hit in {' and '.join(missing)} context"
        return
    for caller in storm.callers:
        for text in _caller(policy, storm.stacks[caller.context], caller):
            yield f"CPU {caller.cpu}, {caller.context.value}: {text}"

    calls = sum(caller.calls for caller in storm.callers)
    if storm.hits != calls:
        yield f"{storm.hits} hits were counted, {calls} calls were made"
    accounted = storm.handler + storm.missed + storm.skipped
    if storm.hits != accounted:
        yield (
            f"{storm.hits} hits are not {storm.handler} handler runs + {storm.missed} missed"
            f" + {storm.skipped} skipped"
        )
    skips = [_saved(policy, hit) is None for hit in storm.stacks.values()]
    if storm.skipped and not any(skips):
        yield f"{storm.skipped} hits were skipped, predicted 0"
    if storm.missed and all(skips):
        yield f"{storm.missed} hits were missed, where no handler runs"
    if not all(skips) and not storm.missed:
        yield "no interrupt came while a handler ran: this was no storm"
    if not all(skips) and storm.at_once < 2:
        yield "no two CPUs were in the handler at once: this was no storm"
    if storm.milliseconds < milliseconds:
        yield f"it lasted {storm.milliseconds} ms, not {milliseconds}"
    if storm.new_taint:
        yield f"the kernel gained taint {storm.new_taint:#x}"


def _caller(policy: Policy, hit: Hit, caller: Caller) -> Iterator[str]:
    if not caller.calls:
        yield "it made no call"
    if caller.target != caller.calls:
        yield f"the function ran {caller.target} times in {caller.calls} calls"
    saved = _saved(policy, hit)
    # A task's hits are never missed: the handler keeps its CPU.
    most = caller.calls if saved else 0
    least = most if caller.context is Context.PROCESS else 0
    if not least <= caller.handler <= most:
        yield f"the handler ran {caller.handler} times, predicted {least} to {most}"
    window = saved.size if saved else 0
    # An argument that was restored in part is neither as passed nor as the handler left it.
    left = caller.handler if window == 0 else 0
    partly = caller.handler if 0 < window < STACKED else 0
    if caller.corrupt != left:
        yield f"{caller.corrupt} arguments arrived as the handler left them, predicted {left}"
    if caller.wrong != partly:
        yield f"{caller.wrong} times an argument was not one that was passed, predicted {partly}"
