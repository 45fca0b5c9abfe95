# SPDX-License-Identifier: GPL-2.0-only
"""A nightly run's matrix, as it is written down."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import ConfigError
from harness.nightly import matrix, unit_runner
from harness.nightly.unit import UnitKind
from tests.unit.nights import MATRIX, written


def test_what_a_matrix_stands_for(tmp_path: Path) -> None:
    text = MATRIX + "compilers: [gcc, clang]\nrepetitions: 2\nfuzz: {count: 10}\ndeadline: 2\n"
    found = matrix.load(written(tmp_path, text))
    assert [unit.name for unit in found.units] == [
        "debian:6.1 gcc cells 1", "debian:6.1 gcc cells 2", "debian:6.1 gcc fuzz 1",
        "debian:6.1 clang cells 1", "debian:6.1 clang cells 2", "debian:6.1 clang fuzz 1",
    ]  # fmt: skip
    assert {unit.deadline for unit in found.units} == {120}
    assert set(found.units[0].cases) == {"stack-8", "stack-9"}
    # The same work has the same digest, and other work has another.
    assert matrix.load(written(tmp_path, f"# again\n{text}")).digest == found.digest
    assert matrix.load(written(tmp_path, MATRIX)).digest != found.digest


def test_a_kernel_is_surveyed_once(tmp_path: Path) -> None:
    text = MATRIX.replace("debian:6.1", "debian:6.1, debian:5.10")
    text += "compilers: [gcc, clang]\nrepetitions: 2\n"
    found = matrix.load(written(tmp_path, f"{text}survey: true\n"))
    surveys = [unit for unit in found.units if unit.kind is UnitKind.SURVEY]
    assert [one.name for one in surveys] == ["debian:6.1 gcc survey 1", "debian:5.10 gcc survey 1"]
    assert {tuple(one.variants) for one in surveys} == {("none", "fixed-128")}
    others = [unit for unit in found.units if unit not in surveys]
    assert others == list(matrix.load(written(tmp_path, text)).units)


def test_tracers_are_played_once_for_each_compiler(tmp_path: Path) -> None:
    text = MATRIX.replace('"stack-8"', '"real-*"') + "compilers: [gcc, clang]\nrepetitions: 2\n"
    found = matrix.load(written(tmp_path, f'{text}tracers: [kprobe, "fen*"]\n'))
    units = [unit for unit in found.units if unit.kind is UnitKind.TRACERS]
    assert [one.name for one in units] == ["debian:6.1 gcc tracers 1", "debian:6.1 clang tracers 1"]
    for one in units:
        assert set(one.tracers) == {"kprobe", "fentry", "fentry-context"}
        assert one.cases[0] == "stack-9"
        assert "real-open" in one.cases
    others = [unit for unit in found.units if unit not in units]
    assert others == list(matrix.load(written(tmp_path, text)).units)
    assert not any(unit.tracers for unit in others)


def test_variables_for_make(tmp_path: Path) -> None:
    found = matrix.load(written(tmp_path, MATRIX + "make: [W=1]\n"))
    assert [unit.make for unit in found.units] == [["W=1"]]
    assert unit_runner._options(found.units[0]).make == ("W=1",)


def test_the_one_that_comes_with_the_project() -> None:
    found = matrix.load(Path(__file__).parents[2] / "configs/nightly/default.yaml")
    assert {"debian:5.10", "debian:7.2"} <= {unit.kernel for unit in found.units}
    assert {unit.kind for unit in found.units} == set(UnitKind)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("shows: x\nkernels: []\n", "name at least one"),
        (MATRIX + "repetitions: 0\n", "repetitions: give 1 to"),
        (MATRIX + "deadline: 0\n", "deadline: give minutes"),
        (MATRIX.replace("stack-8", "no-such"), "no-such"),
        (MATRIX.replace("fixed-128", "no-such"), "no-such"),
        (MATRIX + "tracers: [fexti]\n", "There is no tracer 'fexti'. The nearest: fexit"),
        (MATRIX.replace('"stack-9", "stack-8"', '"real-*"') + "tracers: [redirect]\n", "take none"),
        (MATRIX + "kernal: x\n", "kernal"),
        (MATRIX + "case_dirs: [no/such]\n", "no/such: no such directory"),
        (MATRIX + "make: [O=/tmp]\n", "--make: O is set by"),
    ],
)
def test_a_matrix_that_nobody_could_play(tmp_path: Path, text: str, message: str) -> None:
    file = written(tmp_path, text)
    with pytest.raises(ConfigError, match=message) as caught:
        matrix.load(file)
    assert caught.value.sentence.startswith(f"{file}:")
