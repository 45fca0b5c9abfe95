# SPDX-License-Identifier: GPL-2.0-only
"""The facts of a report to the kernel's developers, as its reporting-issues.rst asks for them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from harness.abi import aapcs64
from harness.abi.aapcs64 import Placement
from harness.abi.ctype import align_up
from harness.kernel.kernel import numbers
from harness.model.case import Case
from harness.printable import line
from harness.reproducer import source
from harness.reproducer.finding import Finding, Seen
from harness.tracers.cell import Cell, described
from harness.tracers.reading import Reading, Traced
from harness.tracers.tracer import Ruled, Tracer

# What decides whether and how a program is attached, and what the function is compiled to.
_OPTIONS = (
    "CONFIG_CC_VERSION_TEXT", "CONFIG_ARM64_4K_PAGES", "CONFIG_ARM64_16K_PAGES",
    "CONFIG_ARM64_64K_PAGES", "CONFIG_PREEMPT_RT", "CONFIG_BPF_JIT", "CONFIG_BPF_JIT_ALWAYS_ON",
    "CONFIG_DEBUG_INFO_BTF_MODULES", "CONFIG_DYNAMIC_FTRACE_WITH_CALL_OPS",
    "CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS", "CONFIG_CFI", "CONFIG_CFI_CLANG",
)  # fmt: skip
_WORD = 8


def context(finding: Finding) -> Mapping[str, Any]:
    """Return what the template of the report needs."""
    cell, kernel = finding.wrong.cell, finding.wrong.kernel
    release = numbers(kernel.release)
    ruled = finding.tracer.ruled((release[0], release[1]))
    return {
        "which": which(cell),
        "release": line(kernel.release),
        "spec": line(kernel.spec),
        "version": line(kernel.version),
        "options": list(_options(kernel.config.read_text(errors="replace"))),
        "shows": line(cell.case.shows),
        "places": list(_places(cell.case)),
        "taken": cell.case.layout.stack_size,
        "counted": _counted(cell.case),
        "seen": list(seen(cell)),
        "others": [f"{line(one.kernel.release)}: {_outcome(one)}" for one in finding.others],
        "rules": list(_rules(finding.tracer, cell.case)),
        "regression": _regression(finding),
        "checked": [f"v{one[0]}.{one[1]}" for one in finding.tracer.checked],
        "suspected": ruled.source if ruled else "not known",
    }


def which(cell: Cell) -> str:
    """Return the arguments that are wrong: "argument 10"."""
    indices = [str(index) for index in cell.left]
    return f"argument{'s' * (len(indices) > 1)} {', '.join(indices)}"


def seen(cell: Cell) -> Iterator[str]:
    """Yield what the function saw of each argument that is wrong."""
    for index, offsets in cell.left.items():
        passed = source.number(cell.passed[index].value)
        saw = source.number(cell.arrived[index])
        words = line(cell.case.arguments[index].words)
        yield f"argument {index} ({words}): passed {passed}, saw {saw} ({described(offsets)})"


def _options(config: str) -> Iterator[str]:
    lines = config.splitlines()
    for name in _OPTIONS:
        forms = (f"{name}=", f"# {name} is not set")
        yield from (line(one) for one in lines if one.startswith(forms))


def _places(case: Case) -> Iterator[str]:
    placed = zip(case.arguments[: case.named], case.layout.placements)
    for index, (argument, placement) in enumerate(placed):
        type_ = argument.passed
        size = f"{type_.size} bytes, aligned to {type_.align}"
        rules = ", ".join(placement.rules)
        words = line(argument.words)
        yield f"argument {index} ({words}, {size}): {_place(placement)} ({rules})"


def _place(placement: Placement) -> str:
    if placement.stack is not None:
        return f"SP + {placement.stack}"
    return ", ".join(f"x{number}" for number in placement.general)


def _counted(case: Case) -> int:
    """Return the bytes that the stacked arguments take without regard to alignment."""
    placed = zip(case.types[: case.named], case.layout.placements)
    return sum(align_up(type_.size, _WORD) for type_, place in placed if place.stack is not None)


def _outcome(one: Seen) -> str:
    cell = one.cell
    if cell.errors:
        return f"not known: {line(cell.errors[0])}"
    if cell.seen.refused:
        return f"refused ({line(cell.seen.refused)})"
    return "; ".join(seen(cell)) if cell.left else "intact"


def _reading(ruled: Ruled, case: Case) -> Reading:
    types = case.types[: case.named]
    return ruled.rule(Traced(types, aapcs64.place(types), case.variadic))


def _rules(tracer: Tracer, case: Case) -> Iterator[str]:
    for ruled in tracer.rules:
        reading = _reading(ruled, case)
        changed = ", ".join(f"argument {at} changed" for at in reading.corrupts)
        outcome = f"refused: {reading.refused}" if reading.refused else changed or "intact"
        yield f"from v{ruled.since[0]}.{ruled.since[1]} on: {outcome}"


def _regression(finding: Finding) -> str:
    release = numbers(finding.wrong.kernel.release)
    others = [one.kernel.release for one in finding.others if _outcome(one) == "intact"]
    earlier = [one for one in others if numbers(one) < release]
    if earlier:
        return f"Yes: {line(max(earlier, key=numbers))} leaves the arguments as they are."
    rules = [one for one in finding.tracer.rules if one.since <= release[:2]]
    readings = [_reading(one, finding.case) for one in rules]
    if any(not (one.refused or one.corrupts) for one in readings):
        return "Not known: by the rules, an earlier kernel left the arguments as they are."
    return "No: no earlier kernel is known to attach the program and to leave the arguments so."
