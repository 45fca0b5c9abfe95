# SPDX-License-Identifier: GPL-2.0-only
"""The model against a file that a reader can check by hand."""

from __future__ import annotations

import dataclasses

import pytest

from harness.model import policy, predict
from tests import predictions


def test_each_prediction_is_the_files() -> None:
    # Line by line, so that a difference is shown as one.
    assert predictions.text().splitlines() == predictions.FILE.read_text().splitlines()


@pytest.mark.parametrize("more", [-1, 1])
def test_a_window_of_another_size_is_seen(more: int, monkeypatch: pytest.MonkeyPatch) -> None:
    real = policy.save

    def save(asked: policy.Policy, hit: policy.Hit) -> policy.Save | None:
        made = real(asked, hit)
        return made and dataclasses.replace(made, window=max(0, made.window + more))

    monkeypatch.setattr(predict, "save", save)
    assert predictions.text() != predictions.FILE.read_text()
