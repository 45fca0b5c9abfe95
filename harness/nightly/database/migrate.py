# SPDX-License-Identifier: GPL-2.0-only
"""Brings the tables of an older store up to date when it is opened."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable

import msgspec
from sqlalchemy import Connection, Engine, Table, inspect, text, update
from sqlalchemy.exc import SQLAlchemyError

from harness.nightly.database import tables
from harness.nightly.unit import CellState, KernelError

# Columns of a unit under the names that they had in stores of schema 1.
_ERRORS = {"kernel_trouble": "kernel_errors", "own_trouble": "harness_errors"}


def create(engine: Engine) -> None:
    """Make the tables that are missing, and change those that are older."""
    tables.METADATA.create_all(engine)
    for old in _ERRORS:
        _change(engine, tables.UNITS, old, functools.partial(_rename, old))
    _change(engine, tables.CELLS, "seen", _split)


def _change(engine: Engine, table: Table, old: str, change: Callable[[Connection], object]) -> None:
    """Change a table that has the column `old`; another process may do so at the same time."""
    if old not in _columns(engine, table):
        return
    try:
        with engine.begin() as connection:
            change(connection)
    except SQLAlchemyError:
        if old in _columns(engine, table):
            raise


def _columns(source: Engine | Connection, table: Table) -> set[str]:
    return {column["name"] for column in inspect(source).get_columns(table.name)}


def _rename(old: str, connection: Connection) -> None:
    connection.execute(text(f"ALTER TABLE unit RENAME COLUMN {old} TO {_ERRORS[old]}"))


def _split(connection: Connection) -> None:
    """Put a cell's state and classes in the place of words such as "leak 8 overflow 256"."""
    # SQLite may have been interrupted between two of these.
    new = {"state": "VARCHAR(20)", "classes": "JSON"}
    for name in new.keys() - _columns(connection, tables.CELLS):
        connection.execute(text(f"ALTER TABLE cell ADD COLUMN {name} {new[name]}"))
    for seen in connection.execute(text("SELECT DISTINCT seen FROM cell")).scalars().all():
        state, classes = parsed(seen)
        same = text("seen = :seen").bindparams(seen=seen)
        values = {"state": state.value, "classes": classes}
        connection.execute(update(tables.CELLS).where(same).values(values))
    connection.execute(text("ALTER TABLE cell DROP COLUMN seen"))


def parsed(seen: str) -> tuple[CellState, dict[str, int]]:
    """Return the state and the bytes by class that the words of schema 1 stand for."""
    for state in (CellState.UNJUDGED, CellState.DISPUTED):
        if seen == state.value:
            return state, {}
    found = re.findall(r"([a-z-]+)(?: (\d+))?", seen)
    return CellState.JUDGED, {name: int(size or 0) for name, size in found if name != "intact"}


def kernel_error(stored: str | dict[str, str]) -> KernelError:
    """Return an error of the kernel's, which earlier was a sentence that began with its kind."""
    if isinstance(stored, str):
        return KernelError(kind=stored.partition(":")[0], fingerprint="", text=stored)
    return msgspec.convert(stored, type=KernelError)
