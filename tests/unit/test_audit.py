# SPDX-License-Identifier: GPL-2.0-only
"""The rules of tracers, and what follows for a kernel's functions."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

import jsonschema
import pytest

import harness
from harness import cli
from harness.abi.aapcs64 import place
from harness.abi.ctype import CHAR, INT, INT128, LONG, Array, CType, composite
from harness.abi.offsets import Offsets
from harness.errors import Exit
from harness.measure import audit
from harness.prototypes import kallsyms, source
from harness.prototypes.source import Files
from harness.tracers import rules
from harness.tracers.catalog import select, tracers
from harness.tracers.reading import Read, Reading, Traced
from tests.unit.made_btf import STRUCT, Maker
from tests.unit.test_prototypes import raw
from tests.unit.test_terminal import COLOUR, on_terminal

RIGHT, ZERO, ANOTHER = Read.RIGHT, Read.ZERO, Read.ANOTHER
PAIR = composite("struct", "pair", [LONG, LONG])
LARGE = composite("struct", "large", [LONG, LONG, CHAR])
WIDE = composite("struct", "wide", [INT128])


def reading(name: str, release: tuple[int, int], types: Sequence[CType]) -> Reading:
    ruled = tracers()[name].ruled(release)
    assert ruled
    return ruled.rule(Traced(tuple(types), place(types), variadic=False))


@pytest.mark.parametrize(
    ("name", "types", "reads"),
    [
        ("kprobe", [LONG] * 9, [*[RIGHT] * 8, ZERO]),
        ("kprobe", [INT, PAIR, LONG], [RIGHT, Read.TRUNCATED, ANOTHER]),
        ("kprobe", [INT, LARGE, LONG], [RIGHT, Read.ADDRESS, RIGHT]),
        # Rule C.10: it begins in an even register.
        ("kprobe", [INT, INT128, LONG], [RIGHT, ANOTHER, ANOTHER]),
        ("func-args", [LONG] * 7, [*[RIGHT] * 6, Read.ABSENT]),
        ("func-args", [INT, PAIR, LONG], [RIGHT, RIGHT, RIGHT]),
        # It takes three words for what is one register.
        ("func-args", [INT, LARGE, LONG], [RIGHT, Read.ADDRESS, ANOTHER]),
        ("fentry", [LONG] * 9, [RIGHT] * 9),
        ("fentry", [*[LONG] * 7, PAIR, LONG], [RIGHT] * 9),
        # An empty struct, of GNU C, lies nowhere.
        ("fentry", [LONG, composite("struct", "empty", []), LONG], [RIGHT] * 3),
        ("fentry", [*[LONG] * 9, WIDE, LONG], [*[RIGHT] * 9, ANOTHER, ANOTHER]),
    ],
)
def test_what_is_read(name: str, types: Sequence[CType], reads: list[Read]) -> None:
    assert list(reading(name, (7, 2), types).reads) == reads


def test_what_is_refused() -> None:
    assert reading("fentry", (6, 12), [LONG] * 9).refused == "more than 8 words of arguments"
    assert reading("fentry", (7, 2), [LONG] * 13).refused == "more than 12 arguments"
    assert reading("fentry", (7, 2), [LARGE]).refused == "an aggregate of more than 16 bytes"
    ruled = tracers()["fentry"].ruled((7, 2))
    assert ruled
    variadic = Traced((LONG,), place([LONG]), variadic=True)
    assert ruled.rule(variadic) == Reading(refused="variadic")


def test_what_is_changed() -> None:
    # The last word is beyond those that are counted: rule C.14 leaves a slot empty.
    assert reading("fexit", (7, 2), [*[LONG] * 9, WIDE, LONG]).corrupts == {10: Offsets.span(0, 8)}
    # Three words are kept of x0 to x3.
    assert reading("fexit", (7, 2), [INT, INT128]).corrupts == {1: Offsets.span(8, 16)}
    assert reading("fentry", (7, 2), [INT, INT128]).corrupts == {}
    assert reading("fexit", (7, 2), [LONG] * 9).corrupts == {}
    # While it was refused, nothing was changed.
    assert reading("fexit", (6, 12), [*[LONG] * 9, WIDE, LONG]).corrupts == {}


def test_a_release_has_the_last_rule_before_it() -> None:
    has = {name for name, one in tracers().items() if one.ruled((6, 1))}
    assert has == {"kprobe", "kprobe-exact", "redirect"}
    fentry = tracers()["fentry"]
    assert fentry.ruled((6, 3)) is None
    assert fentry.ruled((6, 4)) == fentry.ruled((6, 15)) == fentry.rules[0]
    assert fentry.ruled((6, 16)) == fentry.rules[1]


def functions() -> Maker:
    made = Maker()
    long = made.integer("long int", 8)
    char = made.integer("char", 1)
    text = made.array(char, 24)
    large = made.composite(STRUCT, "large", 24, [("text", text, 0)])
    pair = made.composite(STRUCT, "pair", 16, [("a", long, 0), ("b", long, 64)])
    made.function("plain", [("a", long)], long)
    made.function("nine", [(f"a{number}", long) for number in range(9)], long)
    made.function("shifts", [("p", pair), ("a", long)], long)
    made.function("large", [("l", large)], long)
    made.function("onto", [*((f"a{number}", long) for number in range(8)), ("p", pair)], long)
    made.function("prints", [("f", long)], long, more=True)
    return made


def test_the_functions_of_an_image(tmp_path: Path) -> None:
    prototypes = source.read(Files("made", (raw(functions().data(), tmp_path),)))
    found = audit.audit(prototypes, (7, 2), tracers().values())
    assert found.facts == audit.Facts(
        functions=6, stacked=2, many=2, shifted=1, by_reference=1, struct_stacked=1, unknown=0
    )
    tallies = {one.tracer.name: one for one in found.tallies}
    assert tallies["kprobe"].right == 2
    assert tallies["kprobe"].reads == {
        ZERO: 2, ANOTHER: 1, Read.TRUNCATED: 1, Read.ADDRESS: 1,
    }  # fmt: skip
    assert [one.name for one in tallies["kprobe"].worst] == ["shifts", "large", "nine", "onto"]
    assert tallies["fentry"].refused == {"variadic": 1, "an aggregate of more than 16 bytes": 1}
    assert tallies["fexit"].corrupted == ()


@pytest.mark.parametrize("off", [1, -1])
def test_a_rule_that_is_off_by_one_register(off: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The positive control."""
    right = rules._at

    def shifted(type_: CType, placement: object, first: int, words: int) -> Read:
        return right(type_, placement, first + off, words)  # type: ignore[arg-type]

    monkeypatch.setattr(rules, "_at", shifted)
    assert RIGHT not in reading("kprobe", (7, 2), [LONG, LONG]).reads


def run(*words: str) -> int:
    return int(cli.main(["audit", *words]))


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image, out = str(raw(functions().data(), tmp_path)), tmp_path / "out.json"
    assert run("--kernel", image, "--json", str(out)) == Exit.AGREES
    shown = capsys.readouterr().out
    assert "functions by what a tracer makes" in shown
    assert "arguments misread by kprobe\n" in shown
    document = json.loads(out.read_text())
    schema = json.loads((Path(harness.__file__).parent / "report/audit/schema.json").read_text())
    jsonschema.validate(document, schema)
    words = ("--kernel", image, "--function", "nine", "--tracer", "kprobe")
    assert run(*words, "--json", str(out)) == Exit.AGREES
    assert "long int a8  SP+0     zero" in capsys.readouterr().out
    document = json.loads(out.read_text())
    jsonschema.validate(document, schema)
    (function,) = document["functions"]
    assert function["tracers"]["kprobe"]["reads"][-1] == "zero"


RELEASES = ("6.1", "6.12", "7.2")


def images(folder: Path) -> list[str]:
    """Return --kernel options of the same functions in three kernels."""
    words = []
    for release in RELEASES:
        place = folder / release
        place.mkdir()
        image = raw(functions().data(), place)
        image.write_bytes(image.read_bytes().replace(b"6.1.0-made", f"{release}.0-made".encode()))
        words += ["--kernel", str(image)]
    return words


def test_kernels_side_by_side(tmp_path: Path) -> None:
    """In 80 columns, each kernel is a column, and a tracer that one lacks a dash."""
    text = COLOUR.sub("", on_terminal(["audit", *images(tmp_path)], 80, TERM="dumb"))
    lines = [line.rstrip() for line in text.splitlines()]
    assert max(map(len, lines)) <= 80
    rows = [re.split(r"  +", line) for line in lines]
    heads = [f"{release}.0-made" for release in RELEASES]
    assert ["tracer", "outcome", *heads] in rows
    assert ["kprobe", "right", "2", "2", "2"] in rows
    assert ["func-args", "right", "-", "-", "3"] in rows
    assert ["", "refused", "-", "4", "2"] in rows
    assert ["function", *heads] in rows
    assert ["shifts", "2", "2", "2"] in rows


def test_a_function_and_why_it_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kallsyms, "functions", lambda image: frozenset(["nine.isra.0"]))
    words = [*images(tmp_path), "--function", "nine"]
    assert run(*words) == Exit.AGREES
    shown = capsys.readouterr().out
    assert shown.count("fentry, fexit refuse it: more than 8 words of arguments.") == 1
    assert shown.count("The image has only nine.isra.0") == 3
    made = Maker()
    vector = made.composite(STRUCT, "vectors", 16, [("v", made.integer("__int128", 16), 0)])
    long = made.integer("long int", 8)
    pair = made.composite(STRUCT, "pair", 16, [("a", long, 0), ("b", long, 64)])
    made.function("open", [*((f"a{n}", long) for n in range(9)), ("p", pair)], vector)
    image = str(raw(made.data(), tmp_path))
    assert run("--kernel", image, "--function", "open") == Exit.AGREES
    assert "Not known: struct pair p: BTF does not say" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "phrase"),
    [
        (["--tracer", "kprobes"], "There is no tracer 'kprobes'. The nearest: kprobe"),
        (["--function", "nein"], "has a prototype of 'nein'. The nearest: nine"),
        (["--function", "nein"], "has none in BTF"),
    ],
)
def test_what_does_not_exist(
    words: list[str], phrase: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = str(raw(functions().data(), tmp_path))
    assert run("--kernel", image, *words) == Exit.USAGE
    assert phrase in capsys.readouterr().err


def test_a_kernel_without_prototypes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--kernel", str(raw(b"", tmp_path))) == Exit.USAGE
    sentence, step = capsys.readouterr().err.splitlines()
    assert "There is neither BTF nor DWARF in" in sentence
    assert "CONFIG_DEBUG_INFO_BTF=y" in step


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        (["fen*"], {"fentry", "fentry-context"}),
        (["kprobe", "kprobe"], {"kprobe"}),
        (["all"], set(tracers())),
        ([], set(tracers())),
    ],
)
def test_tracers_by_patterns(patterns: list[str], expected: set[str]) -> None:
    found = [one.name for one in select(patterns)]
    assert len(found) == len(set(found))
    assert set(found) == expected


def test_arrays_are_members_only() -> None:
    """A struct with an array is read as its words are."""
    holder = composite("struct", "holder", [Array(CHAR, 12)])
    assert list(reading("kprobe", (7, 2), [holder, LONG]).reads) == [Read.TRUNCATED, ANOTHER]
