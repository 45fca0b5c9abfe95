# SPDX-License-Identifier: GPL-2.0-only
"""What people read: tables, hexdumps and sentences; colour only where the terminal has it."""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from harness import printable
from harness.model.observation import Look
from harness.model.predict import Damage
from harness.report import differing, real_report, summaries
from harness.report.differing import Group
from harness.report.table import folded, lay_out
from harness.run.logs import see
from harness.run.plan import Outcome
from harness.run.result import Result

if TYPE_CHECKING:
    from rich.progress import Progress

# No line is that long: what is not a terminal is read by line.
PIPE_WIDTH = 1_000_000
MISMATCH = "\N{NOT EQUAL TO} "
# The styles of a cell, and of a sentence, that is not as predicted.
DIFFERS, COMPLAINT = "bold red reverse", "bold red"
INTACT = "green"
# Of corruption that was predicted: the hues of the pages, see harness/report/formats/page.
CLASSES = {
    Damage.LEAK: "yellow",
    Damage.BY_REF: "bright_blue",
    Damage.ROLLBACK: "magenta",
    Damage.OVERFLOW: "red",
    Damage.SKIPPED: "dim",
    Damage.MISSED: "cyan",
}
_CLASS = re.compile(rf"\b({'|'.join(damage.value for damage in Damage)})\b( [\d,]+)?")
# Kinds of difference, and plays alike, that are printed without --all.
KINDS, ALIKE = 8, 6
# Bytes of a hexdump that are printed: a stack's whole argument area.
OCTETS = 1024


class _Console(Console):
    """A console that writes no escape but its own."""

    def on_broken_pipe(self) -> None:
        """Leave a closed pipe to the command; rich would end with status 1."""
        raise BrokenPipeError

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterator[Segment]:
        for text, style, control in super().render(renderable, options):
            if style and style.link:
                # Text that is printed while there are progress bars may contain a link.
                style = style.update_link(None)
            yield Segment(text if control else printable.shown(text), style, control)


def console(stderr: bool = False) -> Console:
    """Return a console that never folds a line in a pipe."""
    file = printable.unguarded(sys.stderr if stderr else sys.stdout)
    width = None if file.isatty() else PIPE_WIDTH
    return _Console(file=file, stderr=stderr, highlight=False, width=width)


def progress() -> Progress:
    """Return progress bars for the terminal; in a pipe they print nothing."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
    )

    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        MofNCompleteColumn(),
        console=console(stderr=True),
        transient=True,
        disable=not sys.stderr.isatty(),
    )


def say(sentence: str | Text, style: str = "", *, depth: int = 0) -> None:
    """Print a sentence indented by `depth`, folded if the terminal is too narrow for it."""
    out = console()
    text = Text(printable.shown(sentence), style) if isinstance(sentence, str) else sentence
    text = _cut(text)
    for paragraph in text.split("\n"):
        for line in folded(paragraph, out.width, first=depth, hang=depth and depth + 2):
            out.print(line, soft_wrap=True)


def _cut(text: Text) -> Text:
    """Cut a text as summaries.short() does."""
    if len(text) <= summaries.CHARACTERS:
        return text
    return text[: summaries.CHARACTERS] + summaries.short(text.plain)[summaries.CHARACTERS :]


def classes(text: str) -> Text:
    """Return the text with its classes of corruption coloured."""
    made = Text(printable.shown(text))
    for match in _CLASS.finditer(made.plain):
        made.stylize(CLASSES[Damage(match[1])], *match.span())
    return made


def cell(outcome: Outcome | None) -> Text:
    """Return the outcome of a play in a few words."""
    if outcome is None:
        return Text("not played", style="bold magenta")
    text = summaries.cell(outcome)
    if not outcome.agrees:
        return Text(MISMATCH + text, style=DIFFERS)
    return Text("\N{MIDDLE DOT}", INTACT) if text == "intact" else classes(text)


def print_verdicts(title: str, result: Result) -> None:
    """Print the table of verdicts, with cases down and variants across."""
    cells = {(o.play.case.name, o.play.variant.name): o for o in result.outcomes}
    variants = list(dict.fromkeys(name for _, name in cells))
    rows: list[Sequence[str | Text]] = [
        (name, *(cell(cells.get((name, variant))) for variant in variants))
        for name in dict.fromkeys(case for case, _ in cells)
    ]
    print_rows(title, ("case", *variants), rows, alike=True)


def print_result(result: Result, everything: bool = False) -> None:
    """Print the table, what differs, and a summary."""
    out = console()
    if result.outcomes:
        if result.jprobes:
            say(f"The tree has jprobes of its own, and {result.jprobes}.")
        print_verdicts(f"{result.release}: what each stack policy leaves corrupt, in bytes", result)
        out.print()
        say(
            classes(
                f"{chr(0xB7)} intact   leak, by-ref: written by the handler, seen by the function"
                "   rollback: a legitimate write undone"
            )
        )
        say(
            classes(
                "overflow: saved past the buffer   skipped: the handler did not run   "
                f"missed: nor a nested one's   {MISMATCH.strip()} not as predicted"
            )
        )
    if prices := summaries.prices(result.outcomes):
        out.print()
        print_rows(
            "what putting the stack back undid",
            ("variant", "bytes put back", "on average", "legitimate writes undone"),
            [
                (
                    p.variant,
                    summaries.span(p.least, p.most),
                    f"{p.average:,.0f}",
                    f"{p.undone} of {p.writes}",
                )
                for p in prices
            ],
        )
    if noticed := real_report.rows(result.outcomes):
        out.print()
        print_rows("what came of corrupt arguments in user space", real_report.HEADS, noticed)
    if result.lacking:
        out.print()
        say(real_report.left_out(result.lacking))
    if private := summaries.private_copies(result.outcomes):
        out.print()
        say(
            f"The compiler has {len(private)} handlers assign to a copy of their own of a stacked"
            f" argument, so that it does not leak: {', '.join(private)}"
        )
    print_differing(result.differing, everything)
    for error in summaries.few(result.errors):
        out.print()
        say(error, COMPLAINT)
    for failure in result.retried:
        out.print()
        say(f"Played the rest again after: {failure}", "yellow")
    out.print()
    say(summaries.summary(result), "bold")
    if result.differing or result.errors or not result.complete:
        say(see(result.logs))
    if result.differing:
        play = differing.groups(result.differing)[0].first.play
        chosen = f"--variant {play.variant.name} --case {play.case.name}"
        say(
            f"Look inside: jprobe-harness repro --kernel {result.spec} {chosen} --gdb (or --shell,"
            " or --dump)"
        )


def print_differing(outcomes: Sequence[Outcome], everything: bool = False, where: str = "") -> None:
    """
    Print plays that are not as predicted, the worst first.

    Those of a variant that differ in the same way are printed once, unless `everything`
    is; `where` is said of each.
    """
    out = console()
    found = differing.groups(outcomes)
    if everything:
        found = [Group((outcome,)) for group in found for outcome in group.outcomes]
    shown = found if everything else found[:KINDS]
    for group in shown:
        more = len(group.outcomes) - 1
        out.print()
        alike = f", and {more} more like it" if more else ""
        say(f"{MISMATCH}{group.first.play}{where}{alike}", COMPLAINT)
        for reason in summaries.few(group.first.reasons):
            say(reason, depth=4)
        if more:
            names = [outcome.play.case.name for outcome in group.outcomes[1:]]
            say(f"like it: {some(names)}", depth=4)
    if left := found[len(shown) :]:
        cells = sum(len(group.outcomes) for group in left)
        out.print()
        say(f"{cells} more differ in {len(left)} more ways; --all prints each.", "bold")


def some(names: Sequence[str]) -> str:
    """Return the first names, and how many more there are."""
    more = f" and {len(names) - ALIKE} more" if len(names) > ALIKE else ""
    return ", ".join(names[:ALIKE]) + more


def lines(outcome: Outcome, columns: int, colour: bool = True) -> list[str]:
    """Return the report on one play for a terminal `columns` wide or a pipe."""
    out = _Console(file=io.StringIO(), width=columns, force_terminal=colour, highlight=False)
    with out.capture() as captured:
        print_dump(outcome, out)
        if outcome.agrees:
            out.print(Text(f"{summaries.cell(outcome)}, as predicted", style="bold"))
        for reason in summaries.few(outcome.reasons):
            out.print(_cut(Text(f"{MISMATCH}{printable.line(reason)}", style=COMPLAINT)))
    return captured.get().splitlines()


def print_dump(outcome: Outcome, out: Console | None = None) -> None:
    """Print the argument area and the by-reference copies at three moments."""
    out = out or console()
    verdict = outcome.verdict
    if verdict is None:
        return
    case, observation = outcome.play.case, verdict.observation
    hit = observation.hit
    saved = "not known" if observation.saved is None else f"{observation.saved} bytes"
    out.print(Text(f"{case.name} under {outcome.play.variant.name}", style="bold"))
    out.print(_cut(Text(f"{case.shows}; {case.signature}")))
    out.print(
        Text(
            f"SP {hit.sp:#x}  FP - SP {hit.fp - hit.sp:#x}  top - SP {hit.top - hit.sp:#x}"
            f"  saved {saved}"
        )
    )
    names = {}
    for index, placement in enumerate(case.layout.placements):
        if placement.stack is not None:
            names[placement.stack] = f"argument {index}" + (
                " (address)" if placement.by_reference else ""
            )
    octets = _octets_per_row(out.width)
    if case.layout.stack_size:
        _print_dump(out, "argument area, from SP", observation.area, names, octets)
    for index, placement in enumerate(case.layout.placements):
        if placement.by_reference:
            look = observation.arguments.get(index, Look())
            title = f"argument {index}, by reference at SP {look.at - hit.sp:+#x}"
            _print_dump(out, title, look, {}, octets)
    if observation.object:
        place = observation.object.at - hit.sp
        title = f"the caller's object at SP {place:+#x}"
        _print_dump(out, title, observation.object, {}, octets)


def _octets_per_row(columns: int) -> int:
    """Return how many octets fit: three moments, 4 columns an octet, beside offset and name."""
    return next((octets for octets in (8, 4) if 3 * (4 * octets + 2) + 26 <= columns), 2)


def _print_dump(
    out: Console, title: str, look: Look, names: Mapping[int, str], octets: int
) -> None:
    after = "after the handler" if octets > 2 else "after"
    moments = {"before": look.before, after: look.after, "seen": look.seen}
    shown = {name: data for name, data in moments.items() if data}
    size = max((len(data) for data in shown.values()), default=0)
    reference = look.before or look.seen or b""
    rows: list[Sequence[str | Text]] = []
    for offset in range(0, min(size, OCTETS), octets):
        row = [
            _octets(data[offset : offset + octets], reference[offset : offset + octets])
            for data in shown.values()
        ]
        rows.append((f"{offset:#06x}", *row, names.get(offset, "")))
    print_rows(title, ("offset", *shown, ""), rows, out=out)
    if size > OCTETS:
        rest = [data[OCTETS:] for data in shown.values()]
        differ = sum(len(set(column)) > 1 for column in zip_longest(*rest))
        out.print(
            Text(
                f"{size - OCTETS:,} more bytes, of which {differ:,} differ; all are in the run's"
                " records: jprobe-harness log --part records"
            )
        )


def _octets(data: bytes, reference: bytes) -> Text:
    text = Text()
    for octet, before in zip(data, reference):
        # A changed byte is in brackets too, for readers without colour.
        if octet == before:
            text.append(f" {octet:02x} ")
        else:
            text.append(f"[{octet:02x}]", "bold red")
    return text


def print_rows(
    title: str,
    header: Sequence[str],
    rows: Iterable[Sequence[str | Text]],
    *,
    alike: bool = False,
    out: Console | None = None,
) -> None:
    """Print a table below its title; see table.lay_out()."""
    out = out or console()
    # Text from a user's file may contain newlines or tabs.
    cells = [
        [_cut(Text(printable.line(c)) if isinstance(c, str) else c) for c in row] for row in rows
    ]
    columns = None if out.width == PIPE_WIDTH else out.width
    out.print(Text(title))
    for line in lay_out(header, cells, columns, alike=alike):
        out.print(line, soft_wrap=True)
