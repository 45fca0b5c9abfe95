# SPDX-License-Identifier: GPL-2.0-only
"""The model against a file that a reader can check by hand."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import pytest

from harness.model import policy, predict
from tests import predictions


def test_each_prediction_is_the_files() -> None:
    # Compared line by line, so that a failure shows which line differs.
    assert predictions.text().splitlines() == predictions.FILE.read_text().splitlines()


@pytest.mark.parametrize("more", [-1, 1])
def test_a_window_of_another_size_is_seen(more: int, monkeypatch: pytest.MonkeyPatch) -> None:
    real = policy.save

    def save(
        asked: policy.Policy, hit: policy.Hit, arguments: Iterable[policy.Span]
    ) -> policy.Save | None:
        made = real(asked, hit, arguments)
        spans = [(start, max(start, end + more)) for start, end in made.spans] if made else []
        return made and dataclasses.replace(made, spans=tuple(spans))

    monkeypatch.setattr(predict, "save", save)
    assert predictions.text() != predictions.FILE.read_text()


@pytest.mark.parametrize(
    ("words", "stack", "offset"),
    [(0, "f8ffffffffffff00", "f8ffffff"), (1, "f8ffffffffffff00", "00000000"),
     (2, "0000000000000001", "00000000"), (3, "0800000000000001", "00000000")],
)  # fmt: skip
def test_a_va_list_that_is_read_from(words: int, stack: str, offset: str) -> None:
    """AAPCS64 10.1.5: one word is left in the registers; the others come from the stack."""
    tops, vector_offset = "a1a2a3a4a5a6a7a8b1b2b3b4b5b6b7b8", "c1c2c3c4"
    before = bytes.fromhex(f"f8ffffffffffff00{tops}f8ffffff{vector_offset}")
    after = f"{stack}{tops}{offset}{vector_offset}"
    assert predict.consumed(before, words).hex() == after
