# SPDX-License-Identifier: GPL-2.0-only
"""
What nightly runs brought, in a database: SQLite, or what else an SQLAlchemy URL names.

A unit's result is stored in one transaction; storing it again changes nothing.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec
from sqlalchemy import Connection, RowMapping, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from harness.errors import ConfigError
from harness.host import home
from harness.nightly.database import migrate, tables
from harness.nightly.database.connection import explaining, opened
from harness.nightly.matrix import Matrix
from harness.nightly.unit import (
    Cell,
    CellState,
    Complaint,
    Done,
    HitCost,
    Picture,
    SurveyResult,
    TracedCell,
    Unit,
    UnitEnvironment,
    UnitKind,
    again,
)
from harness.run import logs

T = TypeVar("T", bound=msgspec.Struct)


@dataclass(frozen=True)
class NightlyRun:
    """One nightly run over a matrix."""

    id: int
    # The matrix, and a digest of its content.
    name: str
    matrix: str
    shows: str
    # Seconds since the epoch; `ended` is None during the run, and if it was interrupted.
    started: float
    ended: float | None


@dataclass(frozen=True)
class Baseline:
    """A nightly run that others are held against."""

    night: int
    who: str
    why: str
    accepted: float


# Fields of Done that are stored in a column as they are.
_PLAIN = (
    "kernel", "compiler", "repetition", "planned", "played", "harness_errors",
    "retried", "boots", "started", "ended", "logs",
)  # fmt: skip


def default_url() -> str:
    """Return the URL of the default database."""
    return f"sqlite:///{home.state() / 'history.sqlite'}"


class Store:
    """The database; methods raise InfrastructureError if it fails."""

    def __init__(self, url: str) -> None:
        self._engine = opened(url)

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *exception: object) -> None:
        self._engine.dispose()

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        with explaining(), self._engine.begin() as connection:
            yield connection

    def begin(self, matrix: Matrix) -> NightlyRun:
        """Store a new nightly run over a matrix."""
        units = msgspec.to_builtins(matrix.units)
        row = {"name": matrix.name, "matrix": matrix.digest, "shows": matrix.shows,
               "units": units, "started": time.time()}  # fmt: skip
        with self._transaction() as connection:
            (key,) = connection.execute(insert(tables.NIGHTS), row).inserted_primary_key or (0,)
        return self.night(key)

    def finish(self, night: NightlyRun) -> None:
        """All of its units were tried, though some may have failed."""
        with self._transaction() as connection:
            connection.execute(
                update(tables.NIGHTS)
                .where(tables.NIGHTS.c.id == night.id)
                .values(ended=time.time())
            )

    def night(self, number: int) -> NightlyRun:
        """Return a nightly run by its number; raises ConfigError."""
        found = [night for night in self.nights() if night.id == number]
        if not found:
            raise ConfigError(
                f"There is no nightly run {number}.", "See: jprobe-harness history nights"
            )
        return found[0]

    def nights(self) -> list[NightlyRun]:
        """Return all nightly runs, the newest first."""
        columns = (tables.NIGHTS.c[name] for name in NightlyRun.__dataclass_fields__)
        with self._transaction() as connection:
            rows = connection.execute(select(*columns).order_by(tables.NIGHTS.c.id.desc())).all()
        return [NightlyRun(*row) for row in rows]

    def units(self, night: NightlyRun) -> tuple[Unit, ...]:
        """Return the units that a nightly run consists of."""
        with self._transaction() as connection:
            rows = connection.execute(
                select(tables.NIGHTS.c.units).where(tables.NIGHTS.c.id == night.id)
            )
            return msgspec.convert(rows.scalar_one(), type=tuple[Unit, ...])

    def add(self, night: NightlyRun, done: Done) -> None:
        """
        Store the result of a unit, unless it is stored already.

        It replaces an attempt that failed through our own tools.
        """
        try:
            with self._transaction() as connection:
                self._add(connection, night, done)
        except IntegrityError:
            # Another process stored the unit (a worker that only seemed lost), or equal looks.
            if done.unit not in self.stored(night):
                with self._transaction() as connection:
                    self._add(connection, night, done)

    def _add(self, connection: Connection, night: NightlyRun, done: Done) -> None:
        done = _storable(done)
        same = (tables.UNITS.c.night == night.id) & (tables.UNITS.c.name == done.unit)
        stored = connection.execute(select(tables.UNITS).where(same)).mappings().one_or_none()
        if stored:
            before = self._result(connection, dict(stored), looks=True)
            if not before.harness_errors:
                return
            connection.execute(delete(tables.UNITS).where(same))
            done = again(before, done)
        row = {
            name: msgspec.to_builtins(getattr(done, name))
            for name in ("kind", "facts", "kernel_errors", *_PLAIN)
        }
        result = connection.execute(
            insert(tables.UNITS), {"night": night.id, "name": done.unit, **row}
        )
        (unit,) = result.inserted_primary_key or (0,)
        traced = _by_tracer(done.traced)
        looks = {_digest(data): data for data in (*map(_look, done.cells), *traced.values())}
        known = connection.execute(
            select(tables.LOOKS.c.digest).where(tables.LOOKS.c.digest.in_(looks))
        ).scalars()
        new = looks.keys() - set(known)
        if new:
            rows = [{"digest": digest, "data": looks[digest]} for digest in sorted(new)]
            connection.execute(insert(tables.LOOKS), rows)
        if done.cells:
            connection.execute(insert(tables.CELLS), [_cell_row(unit, cell) for cell in done.cells])
        if traced:
            looked = [(name, _digest(data)) for name, data in traced.items()]
            entries = [{"unit": unit, "tracer": name, "looks": one} for name, one in looked]
            connection.execute(insert(tables.TRACED), entries)
        for table, found in ((tables.COMPLAINTS, done.complaints), (tables.COSTS, done.costs)):
            if found:
                entries = [{"unit": unit, **msgspec.to_builtins(one)} for one in found]
                connection.execute(insert(table), entries)
        if done.survey:
            data = msgspec.to_builtins(done.survey)
            connection.execute(insert(tables.SURVEYS), {"unit": unit, "data": data})

    def stored(self, night: NightlyRun) -> set[str]:
        """The names of its units that are done; our own failures do not count."""
        columns = (tables.UNITS.c.name, tables.UNITS.c.harness_errors)
        with self._transaction() as connection:
            rows = connection.execute(select(*columns).where(tables.UNITS.c.night == night.id))
            return {name for name, harness_errors in rows if not harness_errors}

    def results(self, night: NightlyRun, *, looks: bool = False) -> list[Done]:
        """What came of its units, in their order; with all bytes, where `looks` says so."""
        with self._transaction() as connection:
            units = connection.execute(
                select(tables.UNITS)
                .where(tables.UNITS.c.night == night.id)
                .order_by(tables.UNITS.c.id)
            ).mappings()
            return [self._result(connection, dict(row), looks) for row in units.all()]

    def _result(self, connection: Connection, row: dict[str, Any], looks: bool) -> Done:
        unit = row["id"]
        source = tables.CELLS.join(tables.LOOKS) if looks else tables.CELLS
        columns = [*tables.CELLS.c, *([tables.LOOKS.c.data] if looks else [])]
        cells = connection.execute(
            select(*columns)
            .select_from(source)
            .where(tables.CELLS.c.unit == unit)
            .order_by(tables.CELLS.c.case, tables.CELLS.c.variant)
        ).mappings()
        complaints = connection.execute(
            select(tables.COMPLAINTS)
            .where(tables.COMPLAINTS.c.unit == unit)
            .order_by(tables.COMPLAINTS.c.id)
        ).mappings()
        costs = connection.execute(
            select(tables.COSTS).where(tables.COSTS.c.unit == unit).order_by(tables.COSTS.c.variant)
        ).mappings()
        survey = connection.execute(
            select(tables.SURVEYS.c.data).where(tables.SURVEYS.c.unit == unit)
        ).scalar_one_or_none()
        facts = row["facts"]
        return Done(
            unit=str(row["name"]),
            kind=UnitKind(row["kind"]),
            facts=msgspec.convert(facts, type=UnitEnvironment) if facts else None,
            cells=[_cell(cell) for cell in cells],
            complaints=[_made(Complaint, row) for row in complaints],
            costs=[_made(HitCost, row) for row in costs],
            survey=msgspec.convert(survey, type=SurveyResult) if survey else None,
            traced=_traced(connection, unit),
            kernel_errors=[migrate.kernel_error(error) for error in row["kernel_errors"]],
            **{name: row[name] for name in _PLAIN},
        )

    def prune(self, keep: int) -> int:
        """
        Forget all nightly runs but the last so many, and those that were accepted; how many went.

        Their logs on this machine are removed too.
        """
        newest = select(tables.NIGHTS.c.id).order_by(tables.NIGHTS.c.id.desc()).limit(keep)
        kept = [newest, select(tables.BASELINES.c.night)]
        with self._transaction() as connection:
            known = {key for query in kept for key in connection.execute(query).scalars()}
            pairs = connection.execute(select(tables.UNITS.c.night, tables.UNITS.c.logs)).all()
            gone = connection.execute(
                delete(tables.NIGHTS).where(tables.NIGHTS.c.id.not_in(known))
            ).rowcount
            used = select(tables.CELLS.c.looks).union(select(tables.TRACED.c.looks))
            connection.execute(delete(tables.LOOKS).where(tables.LOOKS.c.digest.not_in(used)))
        folders = [(night, folder) for night, text in pairs for folder in logs.named(text)]
        held = {folder for night, folder in folders if night in known}
        for folder in {folder for _, folder in folders} - held:
            logs.release(folder)
        return int(gone)

    def accept(self, night: NightlyRun, who: str, why: str) -> None:
        """Have later nightly runs compared with this one."""
        row = {"night": night.id, "who": who, "why": why, "accepted": time.time()}
        with self._transaction() as connection:
            connection.execute(insert(tables.BASELINES), row)

    def baselines(self, name: str | None = None) -> list[Baseline]:
        """Who accepted what, the newest first; only for a matrix's own runs, where one is named."""
        columns = (tables.BASELINES.c[field] for field in Baseline.__dataclass_fields__)
        query = select(*columns).join(tables.NIGHTS).order_by(tables.BASELINES.c.id.desc())
        if name is not None:
            query = query.where(tables.NIGHTS.c.name == name)
        with self._transaction() as connection:
            return [Baseline(*row) for row in connection.execute(query).all()]


# JSON's escape of NUL, which a console may print and PostgreSQL cannot store in text.
_NUL = re.compile(rb"(?<!\\)((?:\\\\)*)\\u0000")


def _made(kind: type[T], row: Mapping[Any, Any]) -> T:
    return kind(**{name: row[name] for name in kind.__struct_fields__})


def _storable(done: Done) -> Done:
    data = _NUL.sub(rb"\1" + "\N{REPLACEMENT CHARACTER}".encode(), msgspec.json.encode(done))
    return msgspec.json.decode(data, type=Done)


class _Look(msgspec.Struct):
    """The large part of a cell, which is stored once for equal cells."""

    looks: dict[str, dict[str, str]] = {}
    picture: Picture | None = None


def _look(cell: Cell) -> bytes:
    return msgspec.json.encode(_Look(cell.looks, cell.picture))


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:32]


def _cell_row(unit: int, cell: Cell) -> dict[str, object]:
    return {
        "unit": unit,
        "variant": cell.variant,
        "case": cell.case,
        "state": cell.state.value,
        "classes": cell.classes,
        "agrees": cell.agrees,
        "reasons": cell.reasons,
        "damage": cell.damage,
        "looks": _digest(_look(cell)),
    }


def _by_tracer(cells: Sequence[TracedCell]) -> dict[str, bytes]:
    """Return what is stored of each tracer."""
    found: dict[str, list[TracedCell]] = {}
    for one in cells:
        found.setdefault(one.tracer, []).append(one)
    return {name: msgspec.json.encode(of_tracer) for name, of_tracer in found.items()}


def _traced(connection: Connection, unit: int) -> list[TracedCell]:
    """Return what tracers made of a unit's cases."""
    rows = connection.execute(
        select(tables.LOOKS.c.data)
        .select_from(tables.TRACED.join(tables.LOOKS))
        .where(tables.TRACED.c.unit == unit)
        .order_by(tables.TRACED.c.tracer)
    ).scalars()
    return [one for data in rows for one in msgspec.json.decode(data, type=list[TracedCell])]


def _cell(row: RowMapping) -> Cell:
    data = row.get("data")
    look = msgspec.json.decode(data, type=_Look) if data else _Look()
    state = CellState(row["state"])
    return _made(Cell, {**row, "state": state, "looks": look.looks, "picture": look.picture})
