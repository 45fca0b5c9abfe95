# SPDX-License-Identifier: GPL-2.0-only
"""Tables and hexdumps for people; colour only where the terminal has it."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterable, Mapping, Sequence

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
)
from rich.table import Table
from rich.text import Text

from harness.model.observation import Look
from harness.report import words
from harness.run.logs import see
from harness.run.plan import Outcome, Result

# Wide enough for all variants side by side, where nothing folds the lines.
PIPE_WIDTH = 120
MISMATCH = "\N{NOT EQUAL TO} "


class _Console(Console):
    """Leaves a closed pipe to the command; rich would end with status 1."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


def console(stderr: bool = False) -> Console:
    """A console that is plain and wide in a pipe."""
    made = _Console(stderr=stderr, highlight=False)
    if not made.is_terminal:
        made = _Console(stderr=stderr, highlight=False, width=PIPE_WIDTH)
    return made


def progress() -> Progress:
    """Progress bars on the terminal; nothing at all in a pipe."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        MofNCompleteColumn(),
        console=console(stderr=True),
        transient=True,
        disable=not sys.stderr.isatty(),
    )


def _cell(outcome: Outcome | None) -> Text:
    if outcome is None:
        return Text("not played", style="bold magenta")
    text = words.cell(outcome)
    if not outcome.agrees:
        return Text(MISMATCH + text, style="bold red")
    return Text("\N{MIDDLE DOT}", style="green") if text == "intact" else Text(text, "yellow")


def verdicts(result: Result) -> Table:
    """Cases down, variants across."""
    cells = {(o.play.case.name, o.play.variant.name): o for o in result.outcomes}
    variants = list(dict.fromkeys(name for _, name in cells))
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("case", no_wrap=True)
    for name in variants:
        table.add_column(name)
    for name in dict.fromkeys(case for case, _ in cells):
        table.add_row(name, *(_cell(cells.get((name, variant))) for variant in variants))
    return table


def print_result(result: Result) -> None:
    """The table, what differs, and the run in one sentence."""
    out = console()
    if result.outcomes:
        out.print(Text(f"{result.release}: what each stack policy leaves corrupt, in bytes"))
        if result.jprobes:
            out.print(Text(f"The tree has jprobes of its own, and {result.jprobes}."))
        out.print(verdicts(result))
        out.print()
        out.print(
            f"{chr(0xB7)} intact   leak, by-ref: written by the handler, seen by the function   "
            "rollback: a legitimate write undone"
        )
        out.print(
            "overflow: saved past the buffer   skipped: the handler did not run   "
            f"missed: nor a nested one's   {MISMATCH.strip()} not as predicted"
        )
    if prices := words.prices(result.outcomes):
        out.print()
        print_rows(
            "what putting the stack back undid",
            ("variant", "bytes put back", "legitimate writes undone"),
            [(p.variant, words.span(p.least, p.most), f"{p.undone} of {p.writes}") for p in prices],
        )
    if kept := words.kept(result.outcomes):
        out.print()
        out.print(
            f"The compiler has {len(kept)} handlers assign to a copy of their own of a stacked"
            f" argument, so that it does not leak: {', '.join(kept)}"
        )
    for outcome in result.differing:
        out.print()
        out.print(Text(f"{MISMATCH}{outcome.play}", style="bold red"))
        for reason in outcome.reasons:
            out.print(Text(f"    {reason}"))
    for trouble in result.trouble:
        out.print()
        out.print(Text(trouble, style="bold red"))
    for failure in result.retried:
        out.print()
        out.print(Text(f"Played the rest again after: {failure}", style="yellow"))
    out.print()
    out.print(Text(words.summary(result), style="bold"))
    if result.differing or result.trouble or not result.complete:
        out.print(Text(see(result.logs)))
    if result.differing:
        play = result.differing[0].play
        cell = f"--variant {play.variant.name} --case {play.case.name}"
        out.print(
            f"Look inside: jprobe-harness repro --kernel {result.spec} {cell} --gdb (or --shell,"
            " or --dump)"
        )


def lines(outcome: Outcome, columns: int, colour: bool = True) -> list[str]:
    """What there is to say of one play, for a terminal of that width or a pipe."""
    out = _Console(file=io.StringIO(), width=columns, force_terminal=colour, highlight=False)
    with out.capture() as captured:
        print_dump(outcome, out)
        if outcome.agrees:
            out.print(Text(f"{words.cell(outcome)}, as predicted", style="bold"))
        for reason in outcome.reasons:
            out.print(Text(f"{MISMATCH}{reason}", style="bold red"))
    return captured.get().splitlines()


def print_dump(outcome: Outcome, out: Console | None = None) -> None:
    """The argument area and the by-reference copies at three moments."""
    out = out or console()
    verdict = outcome.verdict
    if verdict is None:
        return
    case, observation = outcome.play.case, verdict.observation
    hit = observation.hit
    saved = "not told" if observation.saved is None else f"{observation.saved} bytes"
    out.print(Text(f"{case.name} under {outcome.play.variant.name}", style="bold"))
    out.print(Text(f"{case.shows}; {case.signature}"))
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
        _print_dump("argument area, from SP", observation.area, names, octets, out)
    for index, placement in enumerate(case.layout.placements):
        if placement.by_reference:
            look = observation.arguments.get(index, Look())
            title = f"argument {index}, by reference at SP {look.at - hit.sp:+#x}"
            _print_dump(title, look, {}, octets, out)
    if observation.object:
        place = observation.object.at - hit.sp
        title = f"the caller's object at SP {place:+#x}"
        _print_dump(title, observation.object, {}, octets, out)


def _octets_per_row(columns: int) -> int:
    """So many that three moments, four columns an octet, stand beside offset and name."""
    return next((octets for octets in (8, 4) if 3 * (4 * octets + 2) + 26 <= columns), 2)


def _print_dump(
    title: str, look: Look, names: Mapping[int, str], octets: int, out: Console
) -> None:
    table = Table(box=None, pad_edge=False)
    after = "after the handler" if octets > 2 else "after"
    moments = {"before": look.before, after: look.after, "seen": look.seen}
    shown = {name: data for name, data in moments.items() if data}
    table.add_column("offset")
    for name in shown:
        table.add_column(name, no_wrap=True)
    table.add_column("")
    size = max((len(data) for data in shown.values()), default=0)
    reference = look.before or look.seen or b""
    for offset in range(0, size, octets):
        row = [
            _octets(data[offset : offset + octets], reference[offset : offset + octets])
            for data in shown.values()
        ]
        table.add_row(f"{offset:#06x}", *row, names.get(offset, ""))
    print_titled(title, table, out)


def _octets(data: bytes, reference: bytes) -> Text:
    text = Text()
    for octet, before in zip(data, reference):
        # Not by colour alone: a changed byte is in brackets.
        if octet == before:
            text.append(f" {octet:02x} ")
        else:
            text.append(f"[{octet:02x}]", "bold red")
    return text


def print_titled(title: str, table: Table, out: Console | None = None) -> None:
    """A table below a line of its own, which is not broken at the table's width."""
    out = out or console()
    out.print(Text(title))
    out.print(table)


def print_rows(title: str, header: Sequence[str], rows: Iterable[Sequence[str | Text]]) -> None:
    """A plain table."""
    table = Table(box=None, pad_edge=False, show_header=any(header))
    for index, name in enumerate(header):
        table.add_column(name, no_wrap=index == 0, header_style="bold")
    for row in rows:
        table.add_row(*(Text(word) if isinstance(word, str) else word for word in row))
    print_titled(title, table)
