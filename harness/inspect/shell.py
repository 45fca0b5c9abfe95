# SPDX-License-Identifier: GPL-2.0-only
"""A guest's shell in the user's terminal."""

from __future__ import annotations

import select
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from harness import printable
from harness.cases.catalog import Catalog
from harness.errors import (
    ConfigError,
    Exit,
    HarnessError,
    InfrastructureError,
    KernelFault,
    is_foreseen,
)
from harness.guest import cpio
from harness.guest.records import DumpRequest, Record
from harness.inspect.guest import Guest
from harness.model.observation import Observation
from harness.run.plan import Outcome, Play
from harness.run.repro import judge_record
from harness.run.result import Result, ended_run
from harness.steps import progress
from harness.vm.terminal import ESCAPE, Terminal

RECIPE = "shell"
# Makes the lines in which a user reads an outcome.
Render = Callable[[Outcome], Sequence[str]]


def tables(catalog: Catalog) -> bytes:
    """Return an archive for the initrd with the tables of cases and variants for jprobe-case."""
    variants = [
        f"{printable.line(v.name)}\t{v.policy.rule.value} {v.policy.size}\t{v.saves}"
        for v in catalog.variants.values()
    ]
    cases = [f"{case.name}\t{case.shows}" for case in catalog.cases.values()]
    return cpio.archive(
        [cpio.directory("etc/jprobe"), _table("variants", variants), _table("cases", cases)]
    )


def _table(name: str, lines: Iterable[str]) -> cpio.Entry:
    return cpio.file(f"etc/jprobe/{name}", "".join(f"{line}\n" for line in lines).encode())


def play_all(guest: Guest, plays: Sequence[Play]) -> Result:
    """
    Play a plan in a guest that stays up, until the kernel dies or hangs.

    Raises one of result.ENDED with the result so far.
    """
    outcomes: list[Outcome] = []
    for play in plays:
        try:
            outcome = guest.play(play.variant, play.case)
        except KernelFault as fault:
            outcome = Outcome(play, None, (f"{type(fault).__name__}: {fault.sentence}",))
        except (KeyboardInterrupt, Exception) as error:
            if is_foreseen(error):
                raise
            raise ended_run(error, guest.result(outcomes, planned=len(plays))) from error
        outcomes.append(outcome)
        progress("playing", len(outcomes), len(plays))
        if not guest.lives:
            break
    return guest.result(outcomes, planned=len(plays))


@dataclass(frozen=True)
class Desk:
    """What the host needs in order to serve a guest's shell."""

    catalog: Catalog
    render: Render
    # Archives for the initrd with further tables for jprobe-case.
    tables: bytes = b""

    @property
    def archives(self) -> bytes:
        """All tables."""
        return tables(self.catalog) + self.tables


class Host:
    """The host's side of a guest with a shell: it judges the plays that are run there."""

    def __init__(self, guest: Guest, desk: Desk) -> None:
        self._guest = guest
        self._session = guest.session
        self._catalog = desk.catalog
        self._render = desk.render

    def attend(self) -> None:
        """Read and answer the guest's records."""
        self._session.look()
        for record in self._session.take():
            self._answer(record)

    def resize(self, rows: int, columns: int) -> None:
        """Pass the size of the window that shows the guest's console to the guest."""
        if self._guest.session.listens:
            self._session.send(f"size {rows} {columns}")

    def _answer(self, record: Record) -> None:
        """Do what was asked for in the guest, and print it there while the guest lives."""
        lines, status = self._dump() if isinstance(record, DumpRequest) else self._judge(record)
        if self._guest.session.listens:
            for line in lines:
                self._session.send(f"print |{line}")
            self._session.send(f"exit {status}")

    def _dump(self) -> tuple[Sequence[str], int]:
        try:
            file = self._guest.dump()
        except (ConfigError, InfrastructureError) as error:
            return [error.sentence, error.hint], error.exit_status
        return [f"{file}", f"See: jprobe-harness dump {file.parent.name}"], Exit.AGREES

    def _judge(self, record: Record) -> tuple[Sequence[str], int]:
        if not isinstance(record, Observation):
            return [f"The guest did not play it: {record}"], 3
        try:
            play = self._play(record.line)
        except (HarnessError, KeyError, ValueError):
            return [f"'{record.line}' is not one of the cases."], 2
        outcome = judge_record(play, record, self._guest.modules)
        return self._render(outcome), 0 if outcome.agrees else 1

    def _play(self, line: str) -> Play:
        """Return the play that a guest's line describes."""
        name, rule, size = line.split()
        for variant in self._catalog.variants.values():
            if (variant.policy.rule.value, variant.policy.size) == (rule, int(size)):
                return Play(variant, self._catalog.cases[name])
        (variant,) = self._catalog.select_variants([f"{rule}:{size}"])
        return Play(variant, self._catalog.cases[name])


def interact(guest: Guest, terminal: Terminal, host: Host) -> None:
    """Connect the guest's console to the user's terminal until either ends; raises KernelDied."""
    session = guest.session
    session.console.echo = terminal.write
    host.resize(*terminal.size)
    # The prompt may have been printed before it could be shown; this prints another.
    session.console.send("\n")
    poll = select.poll()
    for source in (terminal.fileno(), terminal.resized, session.fileno()):
        poll.register(source, select.POLLIN)
    while not session.ended:
        ready = {number for number, _ in poll.poll()}
        if session.fileno() in ready:
            host.attend()
        if terminal.resized in ready:
            host.resize(*terminal.look())
        if terminal.fileno() in ready:
            data = terminal.read()
            typed, escape, _ = data.partition(ESCAPE)
            session.console.send(typed.decode(errors="replace"))
            if escape or not data:
                return
    session.check_end()
