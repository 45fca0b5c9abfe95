# SPDX-License-Identifier: GPL-2.0-only
"""The page on reliability is what the catalogue of faults says."""

from __future__ import annotations

from tests.faults.catalogue import FAULTS
from tests.faults.page import PAGE, page


def test_the_page_is_the_catalogues() -> None:
    text = PAGE.read_text()
    assert page(text) == text, "run: python -m tests.faults.page"
    assert page(text.replace("| 125 |", "| 124 |")) == text
    assert len({fault.name for fault in FAULTS}) == len(FAULTS)
