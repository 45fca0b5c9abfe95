# SPDX-License-Identifier: GPL-2.0-only
"""A survey for people: totals, the worst, what each variant means, and what changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TypeVar

from harness.measure.survey import Change, Function, Survey, changes
from harness.model.predict import Damage
from harness.report.survey.documents import arguments, counts
from harness.report.terminal import classes, console, print_rows, say

T = TypeVar("T")

# Functions, types or reasons that are printed without --all.
ROWS = 10
# The kinds of damage that a survey predicts, in the order of the columns.
DAMAGE = (Damage.LEAK, Damage.BY_REF, Damage.SKIPPED, Damage.OVERFLOW, Damage.ROLLBACK)
_SORTS = {
    "functions": "with a prototype",
    "in_registers": "all in registers",
    "stacked": "with stacked arguments",
    "by_reference": "with an aggregate by reference",
    "variadic": "variadic",
    "unknown": "not known from BTF",
}


def print_surveys(surveys: Sequence[Survey], everything: bool = False) -> None:
    """Print one survey, or several beside each other and what changed from first to last."""
    if len(surveys) == 1:
        print_survey(surveys[0], everything)
        return
    out = console()
    for title, modules in (("the image", False), ("the image and its modules", True)):
        totals = [counts(one, modules=modules) for one in surveys]
        print_rows(
            f"where the arguments of functions lie, of {title}",
            ("functions", *(one.release for one in surveys)),
            [(shown, *(f"{of[sort]:,}" for of in totals)) for sort, shown in _SORTS.items()],
        )
        out.print()
    sizes = sorted({size for one in surveys for size in one.histogram})
    print_rows(
        "functions by bytes on the stack",
        ("bytes", *(one.release for one in surveys)),
        [(str(s), *(f"{one.histogram.get(s, 0):,}" for one in surveys)) for s in sizes],
    )
    out.print()
    print_rows(
        "functions whose named arguments arrive as passed, whatever the handler assigns",
        ("variant", *(one.release for one in surveys)),
        [
            (risks[0].variant.name, *(f"{risk.kept:,}" for risk in risks))
            for risks in zip(*(one.risks for one in surveys))
        ],
    )
    out.print()
    for one in surveys:
        _print_source(one)
    out.print()
    _print_changes(surveys[0], surveys[-1], everything)


def print_survey(survey: Survey, everything: bool = False) -> None:
    """Print all of one kernel's survey; of the worst the first, or `everything`."""
    out = console()
    image, total = counts(survey, modules=False), counts(survey)
    print_rows(
        f"{survey.release}: where the arguments of {total['functions']:,} functions lie",
        ("functions", "image", "modules", "all"),
        [
            (shown, f"{image[sort]:,}", f"{total[sort] - image[sort]:,}", f"{total[sort]:,}")
            for sort, shown in _SORTS.items()
        ],
    )
    _print_source(survey)
    if total["other_registers"]:
        say(
            f"{total['other_registers']:,} functions may use other registers, with the same on the"
            " stack: BTF has no alignment attributes. --function shows which."
        )
    out.print()
    print_rows(
        "functions by bytes on the stack",
        ("bytes", "functions"),
        [(str(size), f"{count:,}") for size, count in survey.histogram.items()],
    )
    out.print()
    print_rows(
        "aggregates by reference",
        ("type", "bytes", "parameters"),
        [
            (part.type, str(part.size), f"{count:,}")
            for part, count in _first(survey.aggregates, everything)
        ],
    )
    out.print()
    _print_risks(survey)
    worst = [
        ("most bytes on the stack", survey.stacked),
        ("largest by reference", survey.by_reference),
    ]
    worst += [("not known from BTF", survey.unknown)] if survey.unknown else []
    for title, functions in worst:
        out.print()
        print_rows(
            title,
            ("bytes", "module", "prototype"),
            [(_bytes(one), one.prototype.module, one.prototype.declared)
             for one in _first(functions, everything)],
        )  # fmt: skip
        _print_more(len(functions), everything)


def _first(rows: Sequence[T], everything: bool) -> Sequence[T]:
    return rows if everything else rows[:ROWS]


def _print_more(count: int, everything: bool) -> None:
    if count > ROWS and not everything:
        say(f"{count - ROWS:,} more; --all prints each.")


def _bytes(one: Function) -> str:
    words = [str(one.stacked)] if one.stacked else []
    words += [f"{part.size} by reference" for part in one.by_reference]
    return ", ".join(words) or "not known"


def _print_source(survey: Survey) -> None:
    say(
        f"{survey.release}: prototypes from {survey.source}, and from {len(survey.modules):,}"
        " modules."
    )
    reasons = Counter(survey.unread.values())
    for reason, count in reasons.most_common(ROWS):
        names = [name for name, why in survey.unread.items() if why == reason]
        which = names[0] if count == 1 else f"{count:,} modules, such as {names[0]}"
        say(f"Not counted: {which}: {reason}.", depth=2)
    if survey.symbols:
        say(
            f"Of the image's own symbols, {survey.symbols.without_prototype:,} functions have no"
            f" prototype, and {survey.symbols.clones:,} are clones that take what the compiler"
            f" chose; {survey.symbols.without_code:,} prototypes have no function of that name.",
            depth=2,
        )
    else:
        say("How many functions have no prototype is not known: no symbols were found.", depth=2)


def _print_risks(survey: Survey) -> None:
    print_rows(
        "what may come of a handler that assigns to all that it gets, in functions",
        ("variant", "as passed", *(kind.value for kind in DAMAGE), "not known", "safe"),
        [
            (
                risk.variant.name,
                f"{risk.kept:,}",
                *(f"{risk.damage.get(kind, 0):,}" for kind in DAMAGE),
                f"{risk.unknown:,}",
                f"{risk.safe:,}",
            )
            for risk in survey.risks
        ],
    )
    say(
        classes(
            "leak, by-ref, skipped: keep an argument from arriving   overflow: in an interrupt"
            "   rollback: what another CPU writes to the caller's frame meanwhile is undone"
        )
    )


def _print_changes(first: Survey, last: Survey, everything: bool) -> None:
    found = changes(first, last)
    groups: dict[str, list[Change]] = {}
    for change in found:
        groups.setdefault(_sort(change), []).append(change)
    print_rows(
        f"from {first.release} to {last.release}: functions whose stacked arguments, or aggregates"
        " by reference, changed",
        ("change", "functions"),
        [(sort, f"{len(group):,}") for sort, group in sorted(groups.items())],
    )
    if not (first.modules and last.modules):
        say("Without modules, as those of one have no prototypes.")
    for sort, group in sorted(groups.items()):
        console().print()
        print_rows(
            sort,
            ("before", "after", "module", "prototype"),
            [_row(change) for change in _first(group, everything)],
        )
        _print_more(len(group), everything)


def _sort(change: Change) -> str:
    if change.before is None:
        return "new function"
    if change.after is None:
        return "function gone"
    if change.after.stacked != change.before.stacked:
        return (
            "more on the stack"
            if change.after.stacked > change.before.stacked
            else "less on the stack"
        )
    return "other by reference"


def _row(change: Change) -> tuple[str, ...]:
    one = change.after or change.before
    assert one
    cells = [_short(side) for side in (change.before, change.after)]
    return (*cells, one.prototype.module, one.prototype.declared)


def _short(one: Function | None) -> str:
    if one is None:
        return "-"
    if one.placement.layout is None:
        return "not known"
    return _bytes(one) if one.stacked or one.by_reference else "registers"


def print_function(surveys: Sequence[Survey], name: str) -> None:
    """Print where the arguments of functions of a name lie, slot by slot."""
    out = console()
    for survey in surveys:
        for one in survey.named(name):
            where = f"{survey.release} {one.prototype.module}".strip()
            print_rows(
                f"{where}: {one.prototype.declared}",
                ("argument", "bytes", "lies in", "rules"),
                [_slot(row) for row in arguments(one)],
            )
            if one.prototype.signature.variadic:
                say("Variadic: what follows is decided by each call.")
            if one.placement.unknown:
                say(f"The placement is not known: {one.placement.unknown}.")
            else:
                say(f"{one.stacked} bytes on the stack.")
            out.print()


def _slot(row: dict[str, object]) -> tuple[str, ...]:
    lies = str(row.get("lies", "not known"))
    others = row.get("or")
    if isinstance(others, list) and others:
        lies += f" (or {' or '.join(others)}, with an alignment attribute)"
    rules = row.get("rules")
    size = row["bytes"]
    return (
        str(row["declared"]),
        "" if size is None else str(size),
        lies,
        ", ".join(rules) if isinstance(rules, list) else "",
    )
