# SPDX-License-Identifier: GPL-2.0-only
"""The memory of nights in SQLite."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.errors import ConfigError
from harness.nightly.store import Store
from tests.unit.store_contract import StoreContract


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(f"sqlite:///{tmp_path}/history.sqlite") as opened:
        yield opened


class TestSqlite(StoreContract):
    pass


def test_a_database_that_cannot_be() -> None:
    with pytest.raises(ConfigError, match="cannot be used"):
        Store("no url")
    with pytest.raises(ConfigError, match="cannot be used"):
        Store("sqlite:////proc/no/such.sqlite")
    with pytest.raises(ConfigError, match="cannot be used"):
        Store("postgresql+nosuchdriver://localhost/x")


@pytest.mark.parametrize("url", ["nosuch://me:geheim@h/x", "me:geheim//me:geheim@h:port/x"])
def test_nobody_sees_the_password(url: str) -> None:
    with pytest.raises(ConfigError, match="cannot be used") as caught:
        Store(url)
    assert "geheim@" not in str(caught.value)
    assert "***@h" in str(caught.value)
