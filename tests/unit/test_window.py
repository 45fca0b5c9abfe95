# SPDX-License-Identifier: GPL-2.0-only
"""How much of a plan a guest is sent ahead."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from harness.guest.window import BYTES, Window


@given(st.lists(st.integers(1, BYTES // 3), max_size=60), st.data())
def test_all_is_sent_in_order_and_little_of_it_ahead(sizes: list[int], data: st.DataObject) -> None:
    plan = [chr(ord("a") + index % 26) * size for index, size in enumerate(sizes)]
    window = Window(plan)
    sent = window.more()
    played = 0
    while played < len(plan):
        ahead = sent[played:]
        assert ahead and sum(map(len, ahead[:-1])) < BYTES
        for _ in range(data.draw(st.integers(1, len(ahead)))):
            window.played()
            played += 1
        sent += window.more()
    assert sent == plan and not window.more()


def test_a_line_is_made_when_it_is_sent() -> None:
    class Made(list[str]):
        def __getitem__(self, index: object) -> str:  # type: ignore[override]
            made.append(index)
            return "x" * (BYTES // 2)

    made: list[object] = []
    window = Window(Made(["?"] * 9))
    assert (len(window.more()), made) == (2, [0, 1])
    window.played()
    assert (len(window.more()), made) == (1, [0, 1, 2])


def test_records_of_no_line_are_not_counted() -> None:
    window = Window(["a"])
    window.played()
    assert window.more() == ["a"]
