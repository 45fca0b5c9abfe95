# SPDX-License-Identifier: GPL-2.0-only
"""Random cases can be played, written to a file and read back."""

from __future__ import annotations

import hashlib
from pathlib import Path
from random import Random

import pytest

from harness.cases import writer
from harness.cases.catalog import Catalog
from harness.cases.checks import check
from harness.cases.generator import DRAWN, draw, simpler
from harness.cases.reader import load_case
from harness.errors import ConfigError
from harness.model.assembled import assemble
from harness.model.case import Case

SEED = 2016


@pytest.fixture(scope="module")
def cases() -> list[Case]:
    return [draw(SEED, index) for index in range(500)]


def read_back(case: Case, folder: Path) -> Case:
    path = folder / f"{case.name}.yaml"
    path.write_text(writer.text(case))
    return load_case(path)


def test_the_same_seed_draws_the_same_case(cases: list[Case]) -> None:
    assert [draw(SEED, index) for index in range(20)] == cases[:20]
    assert draw(SEED + 1, 0) != cases[0]


def test_a_seed_stands_for_the_same_cases_for_ever() -> None:
    """A seed in a stored nightly run or in a bug report must lead to what it was reported of."""
    drawn = (draw(7, index) for index in range(300))
    words = "".join(f"{case.signature} {case.context.value}\n" for case in drawn)
    assert hashlib.sha256(words.encode()).hexdigest().startswith("f562a9e0d9feb99b")


def test_each_can_be_played(cases: list[Case]) -> None:
    for case in cases:
        check(case)
    assert {case.context for case in cases} == set(DRAWN)
    placements = [p for case in cases for p in case.layout.placements]
    assert any(p.by_reference and p.stack is not None for p in placements)
    assert any("C.13" in p.rules for p in placements)
    assert any(case.variadic for case in cases)
    assert any(case.object for case in cases)


def test_each_goes_through_a_file(cases: list[Case], tmp_path: Path) -> None:
    for case in cases:
        assert read_back(case, tmp_path) == case


def test_ours_go_through_a_file(tmp_path: Path) -> None:
    for case in Catalog().cases.values():
        assert read_back(case, tmp_path) == case


def test_simpler_ones_end(cases: list[Case], tmp_path: Path) -> None:
    """Whichever simpler case is chosen, the sequence ends, at a case that can be played."""
    random = Random(1)
    for case in cases[:40]:
        for _ in range(400):
            candidates = list(simpler(case))
            for candidate in candidates:
                assert candidate != case
            playable = [candidate for candidate in candidates if is_playable(candidate)]
            if not playable:
                break
            case = random.choice(playable)
        assert len(case.arguments) == 1
        assert read_back(case, tmp_path) == case


def is_playable(case: Case) -> bool:
    try:
        check(case)
    except ConfigError:
        return False
    return True


def test_an_image_has_everything_in_its_place(cases: list[Case]) -> None:
    for case in cases:
        image = assemble(case, Random(case.name))
        assert image == assemble(case, Random(case.name))
        assert len(image.frame) % 16 == 0
        owners: dict[int, str] = {}
        spans = {f"copy {i}": (at, case.arguments[i].type.size) for i, at in image.copies.items()}
        spans["area"] = (0, case.layout.stack_size)
        if image.record is not None:
            spans["record"] = (image.record, 16)
        if case.object and image.object is not None:
            spans["object"] = (image.object, case.object.size)
        for what, (start, size) in spans.items():
            assert start + size <= len(image.frame)
            for offset in range(start, start + size):
                assert owners.setdefault(offset, what) == what
