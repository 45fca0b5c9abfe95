# SPDX-License-Identifier: GPL-2.0-only
"""Placement rules that are wrong on purpose, which tests must find."""

from __future__ import annotations

import pytest

from harness.abi import aapcs64, ctype


def split_a_struct(monkeypatch: pytest.MonkeyPatch) -> None:
    """Break C.13: split a struct that finds only x7 left between it and the stack."""
    place = aapcs64._Allocator._place_composite

    def split(self: aapcs64._Allocator, type_: ctype.Composite) -> aapcs64.Placement:
        if self.ngrn == 7 and 8 < type_.size <= 16:
            self.ngrn = 8
            return aapcs64.Placement(("split",), stack=self.push(8, 8))
        return place(self, type_)

    monkeypatch.setattr(aapcs64._Allocator, "_place_composite", split)


def slots_of_four_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Break C.16: what is passed on the stack takes four bytes."""

    def narrow(self: aapcs64._Allocator, size: int, align: int) -> int:
        start = ctype.align_up(self.nsaa, 4)
        self.nsaa = start + 4
        return start

    monkeypatch.setattr(aapcs64._Allocator, "push", narrow)


WRONG_RULES = {"C.13": split_a_struct, "C.16": slots_of_four_bytes}
