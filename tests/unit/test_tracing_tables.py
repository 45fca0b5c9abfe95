# SPDX-License-Identifier: GPL-2.0-only
"""The tables that jprobe-case attaches tracers by; no guest."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.cases.catalog import Catalog
from harness.kernel.kernel import Engine
from harness.modules.build import Modules, is_traceable
from harness.tracers.catalog import tracers
from harness.tracers.tracer import Kind
from harness.tracing import tables
from harness.tracing.described import Described
from harness.tracing.events import FETCHES_MAX
from tests.unit.kernels import made_up


def files(data: bytes) -> dict[str, list[str]]:
    """Return the lines of each file of an archive."""
    found: dict[str, list[str]] = {}
    at = 0
    while True:
        fields = [int(data[at + 6 + 8 * n : at + 14 + 8 * n], 16) for n in range(13)]
        size, name_size = fields[6], fields[11]
        name = data[at + 110 : at + 110 + name_size - 1].decode()
        if name == "TRAILER!!!":
            return found
        at += (110 + name_size + 3) // 4 * 4
        found[name] = data[at : at + size].decode().splitlines()
        at += (size + 3) // 4 * 4


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """Return the tables of a kernel whose BTF numbers one function."""
    names = tuple(f"a{index}" for index in range(9))
    known = {"jpcase_stack_9_target": Described(77, names, returns_aggregate=False)}
    monkeypatch.setattr(tables, "_described", lambda kernel, modules: known)
    built = Modules(tmp_path, "m", tmp_path, traced=True)
    return files(tables.archive(made_up(tmp_path), built, Catalog().cases.values()))


def rows(lines: list[str], name: str) -> list[list[str]]:
    return [line.split("\t") for line in lines if line.startswith(f"{name}\t")]


def test_each_tracer_that_a_guest_can_show_has_its_row(made: dict[str, list[str]]) -> None:
    names = [line.partition("\t")[0] for line in made["etc/jprobe/tracers"]]
    shown = [name for name, one in tracers().items() if one.kind is not Kind.REDIRECT]
    assert names == shown
    assert len(names) < len(tracers())
    kinds = {"event", "functions", "program"}
    for line in made["etc/jprobe/tracers"]:
        name, how, shows = line.split("\t")
        kind, table, further = how.split(" ")
        assert kind in kinds and further and shows == tracers()[name].shows
        assert f"etc/jprobe/traced/{table}" in made


def test_what_each_wants_of_a_function(made: dict[str, list[str]]) -> None:
    (index,) = rows(made["etc/jprobe/traced/index"], "stack-9")
    assert index[:2] == ["stack-9", "jpcase_stack_9_target"]
    assert index[2].split() == [f"v{n}=$arg{n + 1}:x64" for n in range(9)]
    assert rows(made["etc/jprobe/traced/names"], "stack-9")[0][2] == "$arg*"
    assert rows(made["etc/jprobe/traced/fexit"], "stack-9")[0][2] == "77:9"
    # What BTF does not have, no program is attached to.
    assert rows(made["etc/jprobe/traced/fexit"], "stack-10")[0][2] == "0:10"
    assert rows(made["etc/jprobe/traced/kprobe-multi"], "stack-9")[0][2] == (
        "jpcase_stack_9_target:8"
    )
    assert rows(made["etc/jprobe/traced/function"], "stack-9")[0][2] == ""
    # One event takes only so many.
    places = made["etc/jprobe/traced/places"]
    assert max(len(row.split("\t")[2].split()) for row in places) == FETCHES_MAX
    assert len(places) > len(made["etc/jprobe/traced/index"])


def test_no_case_on_a_function_of_the_kernels_own_is_there(made: dict[str, list[str]]) -> None:
    own = {name for name, case in Catalog().cases.items() if not case.real}
    for name, lines in made.items():
        if name.startswith("etc/jprobe/traced/"):
            assert {line.partition("\t")[0] for line in lines} == own, name


def test_modules_without_what_tracers_want_come_without_tables(tmp_path: Path) -> None:
    built = Modules(tmp_path, "m", tmp_path)
    assert tables.archive(made_up(tmp_path), built, Catalog().cases.values()) == b""


@pytest.mark.parametrize(
    ("release", "engine", "expected"),
    [
        ("5.10.0-1-arm64", Engine.PORT, True),
        ("7.2.0", Engine.PORT, True),
        ("5.9.16", Engine.PORT, False),
        ("4.19.3", Engine.PORT, False),
        ("6.1.0", Engine.NATIVE, False),
    ],
)
def test_kernels_that_modules_can_have_it_for(
    tmp_path: Path, release: str, engine: Engine, expected: bool
) -> None:
    kernel = made_up(tmp_path, release=release, engine=engine)
    assert is_traceable(kernel) == expected
