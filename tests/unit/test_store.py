# SPDX-License-Identifier: GPL-2.0-only
"""The memory of nightly runs in SQLite."""

from __future__ import annotations

import pytest
from sqlalchemy.exc import ArgumentError

from harness.errors import ConfigError
from harness.nightly.store import Store
from tests.unit.store_contract import StoreContract


class TestSqlite(StoreContract):
    pass


def test_a_database_that_cannot_be() -> None:
    with pytest.raises(ConfigError, match="cannot be used"):
        Store("no url")
    with pytest.raises(ConfigError, match="cannot be used"):
        Store("sqlite:////proc/no/such.sqlite")
    with pytest.raises(ConfigError, match="cannot be used"):
        Store("postgresql+nosuchdriver://localhost/x")


@pytest.mark.parametrize(
    "url",
    [
        "nosuch://me:geheim@h/x",
        "nosuch://me@h/x?password=geheim",
        # Some are no URL; others do not have their parts where they seem to be.
        "me:geheim@h/x",
        "me:geheim//me:geheim@h:port/x",
        "nosuch:me:geheim@h/x",
        "nosuch://me:ge@geheim@h/x",
        "nosuch://me:geheim/x",
    ],
)
def test_the_password_is_not_shown(url: str) -> None:
    with pytest.raises(ConfigError, match="cannot be used") as caught:
        Store(url)
    assert "geheim" not in str(caught.value)


def test_the_password_is_not_shown_in_an_error_of_a_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(url: object) -> None:
        raise ArgumentError("No entry for me, geheim.")

    monkeypatch.setattr("harness.nightly.database.connection.create_engine", refuse)
    with pytest.raises(ConfigError, match=r"//me:\*\*\*@h/x cannot.*for me, \*\*\*\.") as caught:
        Store("nosuch://me:geheim@h/x")
    assert "geheim" not in str(caught.value)
