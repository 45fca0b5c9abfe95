# SPDX-License-Identifier: GPL-2.0-only
"""Opens the database that an SQLAlchemy URL names, and puts what it says into sentences."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import URL, Engine, create_engine, event, make_url
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from harness.errors import ConfigError, InfrastructureError
from harness.nightly.database import migrate

_HIDDEN = "***"
# It logs exceptions that end the program while a connection is closed, and raises them too.
logging.getLogger("sqlalchemy.pool").addHandler(logging.NullHandler())
_URL_HINT = (
    "Give an SQLAlchemy URL, such as sqlite:///history.sqlite; write an @ in a password as %40."
)


def opened(url: str) -> Engine:
    """Return the engine of a database whose tables are up to date; raises ConfigError."""
    parsed = _parsed(url)
    try:
        engine = _engine(parsed)
        migrate.create(engine)
    except (SQLAlchemyError, ImportError) as error:
        why = _first_line(error).replace(parsed.password or _HIDDEN, _HIDDEN)
        raise ConfigError(
            f"The database {_shown(parsed)} cannot be used: {why}.", _URL_HINT
        ) from error
    return engine


@contextmanager
def explaining() -> Iterator[None]:
    """Turn what the database says into an InfrastructureError; an IntegrityError is left alone."""
    try:
        yield
    except IntegrityError:
        raise
    except SQLAlchemyError as error:
        raise InfrastructureError(
            f"The database fails: {_first_line(error)}.", "What was stored before is kept."
        ) from error


def _parsed(url: str) -> URL:
    """Parse a URL; raises ConfigError without quoting it, as it may contain a password."""
    with contextlib.suppress(SQLAlchemyError, ValueError):
        parsed = make_url(url)
        # An @ in the host is part of a password, the rest of which was taken for the host.
        if "@" not in (parsed.host or ""):
            return parsed
    raise ConfigError("The database cannot be used: its URL cannot be read.", _URL_HINT)


def _engine(url: URL) -> Engine:
    engine = create_engine(url)
    if engine.dialect.name == "sqlite":
        if file := engine.url.database:
            # If this fails, SQLite reports the error.
            with contextlib.suppress(OSError):
                Path(file).parent.mkdir(parents=True, exist_ok=True)

        @event.listens_for(engine, "connect")
        def on_connect(connection: object, record: object) -> None:
            cursor = connection.cursor()  # type: ignore[attr-defined]
            cursor.execute("PRAGMA foreign_keys=ON")
            # A reader does not keep a nightly run from storing.
            cursor.execute("PRAGMA journal_mode=WAL")
            cursor.close()

    return engine


def _shown(url: URL) -> str:
    """Return the URL without its password, and without its query, which may contain another."""
    return url.set(query={}).render_as_string(hide_password=True)


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0].rstrip(".")
