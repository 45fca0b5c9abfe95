# SPDX-License-Identifier: GPL-2.0-only
"""Where arguments lie, the expressions that fetch them, and the command that shows both."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import jsonschema
import pytest

import harness
from harness import cli
from harness.abi.aapcs64 import place
from harness.abi.ctype import (
    BOOL,
    DOUBLE,
    INT,
    INT128,
    LONG,
    UCHAR,
    ULONG,
    BitField,
    CType,
    composite,
)
from harness.abi.places import Base, Piece, leaves, pieces
from harness.errors import Exit
from harness.measure.fetch import SYNTAXES, fetched
from harness.prototypes import code, kallsyms
from tests.unit.made_btf import STRUCT, Maker, nine_words
from tests.unit.test_prototypes import raw

REGISTER = Piece(Base.REGISTER, 3, 0, 64)
LOW = Piece(Base.REGISTER, 3, 0, 5)
HALF = Piece(Base.REGISTER, 3, 32, 32)
SLOT = Piece(Base.STACK, 0, 192, 64)
ODD = Piece(Base.STACK, 0, 40, 16)
BITS = Piece(Base.STACK, 0, 3, 5)
COPY = Piece(Base.BY_REGISTER, 1, 64, 32)
FAR = Piece(Base.BY_SLOT, 16, 8, 8)


@pytest.mark.parametrize(
    ("syntax", "piece", "expression"),
    [
        ("kprobe", REGISTER, "%x3:x64"),
        ("kprobe", HALF, "%x3:b32@32/64"),
        ("kprobe", SLOT, "$stack3:x64"),
        ("kprobe", ODD, "+5($stack):x16"),
        ("kprobe", BITS, "+0($stack):b5@3/8"),
        ("kprobe", COPY, "+8(%x1):x32"),
        ("kprobe", FAR, "+1(+16($stack)):x8"),
        ("perf", HALF, "%x3:b32@32/64"),
        ("perf", SLOT, "+24(%sp):x64"),
        ("perf", FAR, "+1(+16(%sp)):x8"),
        ("bpftrace", REGISTER, 'reg("r3")'),
        ("bpftrace", HALF, '(reg("r3") >> 32)'),
        ("bpftrace", LOW, '(reg("r3") & 0x1f)'),
        ("bpftrace", BITS, '(*(uint8 *)(reg("sp") + 0) >> 3)'),
        ("bpftrace", FAR, '*(uint8 *)(*(uint64 *)(reg("sp") + 16) + 1)'),
        ("systemtap", REGISTER, 'u_register("x3")'),
        # Its numbers have a sign, which a load and a shift extend.
        ("systemtap", HALF, '((u_register("x3") >> 32) & 0xffffffff)'),
        ("systemtap", SLOT, 'kernel_long(u_register("sp") + 24)'),
        ("systemtap", COPY, '(kernel_int(u_register("x1") + 8) & 0xffffffff)'),
        ("systemtap", FAR, '(kernel_char(kernel_long(u_register("sp") + 16) + 1) & 0xff)'),
        ("gdb", REGISTER, "(unsigned long)$x3"),
        ("gdb", ODD, "*(unsigned short *)((unsigned long)$sp + 5)"),
        ("gdb", FAR, "*(unsigned char *)(*(unsigned long *)((unsigned long)$sp + 16) + 1)"),
    ],
)
def test_an_expression_of_each_syntax(syntax: str, piece: Piece, expression: str) -> None:
    assert fetched(syntax, piece) == expression


def test_a_vector_register_is_fetched_by_none() -> None:
    assert {fetched(syntax, Piece(Base.VECTOR, 0, 0, 64)) for syntax in SYNTAXES} == {""}


def at(types: Sequence[CType], index: int) -> list[list[Piece]]:
    type_, placed = types[index], place(types).placements[index]
    return [list(pieces(type_, placed, leaf.start, leaf.width)) for leaf in leaves(type_)]


def test_bits_in_two_registers_are_two_pieces() -> None:
    packed = composite("struct", "p", [UCHAR, LONG, BitField(ULONG, 12)], packed=True)
    assert at([INT, packed], 1) == [
        [Piece(Base.REGISTER, 1, 0, 8)],
        [Piece(Base.REGISTER, 1, 8, 56), Piece(Base.REGISTER, 2, 0, 8)],
        [Piece(Base.REGISTER, 2, 8, 12)],
    ]
    assert at([INT128], 0) == [[Piece(Base.REGISTER, 0, 0, 64), Piece(Base.REGISTER, 1, 0, 64)]]


def test_what_no_load_has_is_several_pieces() -> None:
    bits = composite("struct", "b", [BitField(BOOL, 1), BitField(ULONG, 64)], packed=True)
    assert at([*[LONG] * 8, bits], 8) == [
        [Piece(Base.STACK, 0, 0, 1)],
        [Piece(Base.STACK, 0, 1, 63), Piece(Base.STACK, 0, 64, 1)],
    ]
    pair = composite("struct", "f", [DOUBLE, DOUBLE])
    assert at([pair], 0) == [[Piece(Base.VECTOR, 0, 0, 64)], [Piece(Base.VECTOR, 1, 0, 64)]]


def run(*words: str) -> int:
    return int(cli.main(["where", *words]))


def test_a_signature_that_is_typed(capsys: pytest.CaptureFixture[str]) -> None:
    signature = "long, struct pair, void (*)(int, long), struct large x"
    structs = ("--struct", "pair=long; char[3]", "--struct", "large = unsigned flags:3; u64[3];")
    assert run("--signature", signature, *structs) == Exit.AGREES
    lines = [line.split("  ") for line in capsys.readouterr().out.splitlines()]
    rows = {words[0] or words[1]: words[-1].strip() for words in lines}
    assert rows["long a0"] == "%x0:x64"
    assert rows["a1.m1[2]"] == "%x2:b8@16/64"
    assert rows["void (*a2)(int, long)"] == "%x3:x64"
    assert rows["a3.m0"] == "+0(%x4):b3@0/8"
    assert rows["a3.m1[2]"] == "+24(%x4):x64"


SIGNATURE = "--signature, argument 2: "


@pytest.mark.parametrize(
    ("words", "phrase"),
    [
        (["--signature", "long, no_such"], f"{SIGNATURE}no type 'no_such'"),
        (["--signature", "long, struct s"], f"{SIGNATURE}no type 'struct s'"),
        (["--signature", "long, struct s *, struct s"], "argument 3: no type 'struct s'"),
        (["--signature", "long,"], f"{SIGNATURE}there is no type"),
        (["--signature", "long, )("], f"{SIGNATURE}no type"),
        (["--signature", "long, ..., int"], f"{SIGNATURE}no type"),
        (["--signature", "long[2]"], "passes an array as a pointer"),
        ([], "Nothing is named."),
        (["--signature", "struct s", "--struct", "s"], "is not TAG=MEMBERS"),
        (["--signature", "struct s", "--struct", "s=;"], "is not TAG=MEMBERS"),
        (["--signature", "struct s", "--struct", "s=blah"], "--struct s: no type 'blah'"),
        (["--signature", "struct s", "--struct", "s=struct s"], "--struct s: no type 'struct s'"),
        (["--signature", "union s", "--struct", "s=int"], "'s' is a struct here"),
        (["--signature", "int", "--struct", "s=int", "--struct", "s=int"], "'s' is a type already"),
        (["--case", "stack-9", "--struct", "s=int"], "--struct is for --signature"),
        (["--case", "stack-*"], "Name one."),
        (["--case", "stack-0"], "There is no case 'stack-0'"),
        (["--kernel", "IMAGE", "--function", "eight"], "has no prototype of 'eight'"),
        (["--kernel", "WITHOUT", "--function", "nine"], "There is neither BTF nor DWARF in"),
    ],
)
def test_what_makes_no_sense_is_one_sentence_and_a_next_step(
    words: list[str], phrase: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = {}
    for name, data in {"IMAGE": nine_words().data(), "WITHOUT": b""}.items():
        (tmp_path / name).mkdir()
        images[name] = str(raw(data, tmp_path / name))
    assert run(*(images.get(word, word) for word in words)) == Exit.USAGE
    sentence, step = capsys.readouterr().err.splitlines()
    assert phrase in f"{sentence} {step}"


def test_what_a_signature_may_end_with(capsys: pytest.CaptureFixture[str]) -> None:
    """What follows the named arguments does not change where they lie."""
    assert run("--signature", "long,\n  ...") == Exit.AGREES
    assert capsys.readouterr().out.splitlines()[0::2] == [
        "long, ...",
        "long a0   8      x0       %x0:x64",
    ]
    assert run("--signature", "void") == Exit.AGREES
    assert "It takes no arguments." in capsys.readouterr().out


SYMBOLS = frozenset(["plain", "split.part.0", "split", "cloned.isra.0", "assembly"])


@pytest.mark.parametrize(
    ("name", "absence", "doubt"),
    [
        ("plain", "There is code of it, but BTF", ""),
        ("split", "There is code of it, but BTF", ""),
        ("cloned", "only cloned.isra.0, a clone", "only cloned.isra.0, a clone"),
        ("inlined", "inlined everywhere, is a module's", "inlined everywhere, or left out"),
    ],
)
def test_what_an_image_says_of_a_function(name: str, absence: str, doubt: str) -> None:
    assert absence in code.absence(name, SYMBOLS)
    assert doubt in code.doubt(name, SYMBOLS)
    assert bool(code.doubt(name, SYMBOLS)) == bool(doubt)
    # Where the image has no symbols, nothing is doubted.
    assert code.doubt(name, None) == ""
    assert code.absence(name, None)


def functions() -> Maker:
    """Return functions of which BTF does not say all."""
    made = Maker()
    long, wide = made.integer("long int", 8), made.integer("__int128", 16)
    pair = made.composite(STRUCT, "pair", 16, [("a", long, 0), ("b", long, 64)])
    made.function("open", [("a", long), ("p", pair)], long)
    made.function("assembly", [], 0)
    made.function("nothing", [("e", made.composite(STRUCT, "empty", 0, [])), ("a", long)], long)
    made.function("stacked", [*((f"a{number}", long) for number in range(7)), ("p", pair)], wide)
    return made


def test_what_a_prototype_leaves_open_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kallsyms, "functions", lambda image: frozenset(["open.isra.0"]))
    image = str(raw(functions().data(), tmp_path))
    assert run("--kernel", image, "--function", "open") == Exit.AGREES
    shown = capsys.readouterr().out
    assert "a member of struct pair p has an alignment attribute" in shown
    assert "The image has only open.isra.0" in shown
    assert run("--kernel", image, "--function", "assembly") == Exit.AGREES
    shown = capsys.readouterr().out
    assert "Of a function that is written in assembly" in shown
    assert "inlined everywhere, or left out" in shown


def test_an_empty_struct_is_nowhere(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image = str(raw(functions().data(), tmp_path))
    assert run("--kernel", image, "--function", "nothing") == Exit.AGREES
    rows = [line.split() for line in capsys.readouterr().out.splitlines()[2:]]
    assert rows == [
        ["struct", "empty", "e", "0", "nowhere"],
        ["long", "int", "a", "8", "x0", "%x0:x64"],
    ]


def test_a_place_that_btf_does_not_say(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = Maker()
    long = made.integer("long int", 8)
    pair = made.composite(STRUCT, "pair", 16, [("a", long, 0), ("b", long, 64)])
    words = [(f"a{number}", long) for number in range(9)]
    made.function("open", [*words, ("p", pair)], long)
    image = str(raw(made.data(), tmp_path))
    assert run("--kernel", image, "--function", "open") == Exit.AGREES
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 12
    assert all("not known: struct pair p: BTF does not say" in line for line in lines[2:])


def test_a_function_of_an_image(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image, out = str(raw(nine_words().data(), tmp_path)), tmp_path / "out.json"
    words = ("--kernel", image, "--function", "nine")
    assert run(*words, "--syntax", "gdb", "--json", str(out)) == Exit.AGREES
    assert "*(unsigned long *)((unsigned long)$sp + 0)" in capsys.readouterr().out
    document = json.loads(out.read_text())
    schema = Path(harness.__file__).parent / "report/where/schema.json"
    jsonschema.validate(document, json.loads(schema.read_text()))
    (function,) = document["functions"]
    last = function["arguments"][-1]
    assert (last["name"], last["bytes"], last["by_reference"]) == ("a8", 8, False)
    (piece,) = last["parts"][0]["pieces"]
    assert piece["fetched"].keys() == SYNTAXES.keys()
    assert piece["fetched"]["kprobe"] == "$stack0:x64"


def test_the_probed_function_of_a_case(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--case", "by-ref-1024") == Exit.AGREES
    shown = capsys.readouterr().out
    assert "%x" in shown
