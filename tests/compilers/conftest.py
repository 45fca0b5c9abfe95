# SPDX-License-Identifier: GPL-2.0-only
"""Options that say how many signatures are drawn, and from which seed."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--signatures", type=int, default=600, help="for each compiler")
    parser.addoption("--signature-seed", type=int, default=2016)
