# SPDX-License-Identifier: GPL-2.0-only
"""BTF is understood to its last byte, or refused."""

from __future__ import annotations

import random
import re
import struct

import pytest

from harness.abi.ctype import VA_LIST, Composite
from harness.prototypes.btf import Btf, Kind, UnreadableBtf, found_in
from harness.prototypes.types import Prototype, Types
from tests.unit import made_btf
from tests.unit.made_btf import FLOAT, KIND_FLAG, STRUCT, UNION, Maker, nine_words


def prototypes(made: Maker) -> dict[str, Prototype]:
    return {one.name: one for one in Types(Btf(made.data())).prototypes()}


def test_a_function() -> None:
    (nine,) = prototypes(nine_words()).values()
    assert nine.declared == (
        "int nine(long int a0, long int a1, long int a2, long int a3, long int a4, long int a5,"
        " long int a6, long int a7, long int a8)"
    )
    assert [p.type and p.type.size for p in nine.signature.parameters] == [8] * 9
    assert not nine.signature.variadic


def test_what_c_writes() -> None:
    made = Maker()
    char = made.integer("char", 1)
    constant = made.add(made_btf.CONST, "", char)
    text = made.pointer(constant)
    file = made.pointer(made.add(made_btf.FWD, "file", 0))
    sort = made.pointer(made.function("sort", [("", text), ("", file)], char) - 1)
    line = made.pointer(made.array(char, 80))
    fixed = made.add(made_btf.CONST, "", text)
    made.function("print", [("format", fixed), ("sort", sort), ("line", line)], more=True)
    made.function("none", [], text)
    found = prototypes(made)
    assert found["print"].declared == (
        "void print(const char *const format, char (*sort)(const char *, struct file *),"
        " char (*line)[80], ...)"
    )
    assert found["print"].signature.variadic
    assert found["none"].declared == "const char *none(void)"


def test_types_have_the_models_sizes_and_alignments() -> None:
    made = Maker()
    long, char = made.integer("long int", 8), made.integer("char", 1)
    wide = made.integer("unsigned __int128", 16)
    pair = made.composite(STRUCT, "pair", 16, [("a", long, 0), ("b", long, 64)])
    packed = made.composite(STRUCT, "packed", 9, [("a", char, 0), ("b", long, 8)])
    either = made.composite(UNION, "either", 16, [("a", wide, 0), ("b", long, 0)])
    pointer = made.pointer()
    members = [("__stack", pointer, 0), ("__gr_top", pointer, 64), ("__vr_top", pointer, 128)]
    va_list = made.typedef("va_list", made.composite(STRUCT, "__va_list", 32, members))
    empty = made.composite(STRUCT, "empty", 0, [])
    many = [pair, packed, either, va_list, empty]
    made.function("f", [(f"a{number}", type_) for number, type_ in enumerate(many)])
    parameters = prototypes(made)["f"].signature.parameters
    types = [parameter.type for parameter in parameters]
    assert [type_.natural_align for type_ in types[:3] if isinstance(type_, Composite)] == [
        8,
        1,
        16,
    ]
    assert types[3] == VA_LIST
    # A member's attribute could make either of the first and the third what the other one is.
    assert [p.alignments for p in parameters] == [(8, 16), (8,), (16, 8), (8,), (8,)]


@pytest.mark.parametrize(
    ("name", "kind"), [("double", made_btf.INT), ("double", FLOAT), ("float", FLOAT)]
)
def test_floating_point_is_told_from_integers(name: str, kind: int) -> None:
    made = Maker()
    size = 8 if name == "double" else 4
    type_ = made.integer(name, size) if kind == made_btf.INT else made.add(FLOAT, name, size)
    made.function("f", [("a", type_)])
    (parameter,) = prototypes(made)["f"].signature.parameters
    assert parameter.type and "kind=<TypeKind.FLOAT" in repr(parameter.type)


def test_what_btf_does_not_say_is_not_guessed() -> None:
    made = Maker()
    char = made.integer("char", 1)
    odd = made.integer("_BitInt(24)", 3)
    vector = made.typedef("uint8x16_t", made.array(char, 16))
    opaque = made.add(made_btf.FWD, "opaque", 0)
    itself = made.composite(STRUCT, "itself", 24, [("a", len(made.types) + 1, 0)])
    half = made.add(FLOAT, "__bf16", 2)
    for number, type_ in enumerate((odd, vector, opaque, itself, half)):
        made.function(f"f{number}", [("a", type_)])
    reasons = [p.unknown for one in prototypes(made).values() for p in one.signature.parameters]
    assert all(reasons)
    assert "vector" in reasons[1] and "only declared" in reasons[2] and "itself" in reasons[3]


def test_a_modules_types_refer_to_its_kernels() -> None:
    base = nine_words()
    kernel = Btf(base.data())
    made = Maker(kernel.end, kernel.strings_end)
    own = made.composite(STRUCT, "own", 24, [("a", 1, 0), ("b", 1, 64), ("c", 1, 128)])
    made.function("probe", [("own", own), ("flags", 2)], 2)
    types = Types(Btf(made.data(), kernel), "module", Types(kernel))
    (probe,) = types.prototypes()
    assert probe.declared == "int probe(struct own own, int flags)"
    assert probe.module == "module"
    # The same module beside another kernel.
    other = Maker()
    other.integer("long int", 8)
    with pytest.raises(UnreadableBtf):
        list(Types(Btf(made.data(), Btf(other.data())), "module").prototypes())


@pytest.mark.parametrize("left", [1, 4, 8, 11])
def test_a_type_that_is_cut_off(left: int) -> None:
    made = nine_words()
    pointer = made.pointer()
    assert Btf(made.data()).end == pointer + 1
    made.types[-1] = made.types[-1][:left]
    with pytest.raises(UnreadableBtf, match="its last type is cut off"):
        Btf(made.data())
    # A struct without its member.
    made.types[-1] = struct.pack("<III", 0, STRUCT << 24 | 1, 8)
    with pytest.raises(UnreadableBtf, match="its last type is cut off"):
        Btf(made.data())


@pytest.mark.parametrize(
    ("data", "phrase"),
    [
        (nine_words().data(version=2), "version 2"),
        (nine_words().data(flags=1), "flags 0x1"),
        (nine_words().data(header=32), "32 bytes"),
        (nine_words().data()[:-1], "cut off"),
        (nine_words().data()[:20], "magic"),
        (b"\x7fELF" + bytes(60), "magic"),
    ],
)
def test_a_newer_or_damaged_header_is_refused(data: bytes, phrase: str) -> None:
    with pytest.raises(UnreadableBtf, match=phrase):
        Btf(data)


@pytest.mark.parametrize("info", [20 << 24, 31 << 24, 1 << 16, 1 << 29, 1 << 30, 0])
def test_a_newer_kind_is_refused_and_not_passed_over(info: int) -> None:
    made = nine_words()
    made.types.append(bytes(4) + info.to_bytes(4, "little") + bytes(4))
    if info:
        with pytest.raises(UnreadableBtf, match=r"its type 5 is of a kind .* newer"):
            Btf(made.data())
    else:
        # Void has no record.
        with pytest.raises(UnreadableBtf):
            Btf(made.data())


def test_the_newest_kind_that_is_known() -> None:
    made = nine_words()
    made.types.append(bytes(4) + (max(Kind) << 24 | KIND_FLAG).to_bytes(4, "little") + bytes(4))
    assert Btf(made.data()).end == 6


def test_it_is_found_among_other_bytes() -> None:
    noise = random.Random(7)
    data = nine_words().data()
    small = Maker()
    small.integer("int", 4)
    # The magic number by chance, with and without room for a header.
    lures = b"\x9f\xeb\x01\x00" + noise.randbytes(60), b"\x9f\xeb"
    image = lures[0] + small.data() + noise.randbytes(99) + data + noise.randbytes(9) + lures[1]
    assert found_in(image) == data
    assert found_in(noise.randbytes(1000)) is None
    # A newer header is found, too, so that it is refused and not passed over.
    newer = nine_words().data(version=2)
    assert found_in(bytes(100) + newer + bytes(100)) == newer


def test_damage_is_never_anything_but_refused() -> None:
    whole = bytearray(nine_words().data())
    draw = random.Random(3)
    refused = 0
    for _ in range(3000):
        data = bytearray(whole)
        for _ in range(draw.randint(1, 4)):
            data[draw.randrange(len(data))] = draw.randrange(256)
        try:
            for one in Types(Btf(bytes(data))).prototypes():
                assert re.fullmatch(r"(?s).+\(.*\)", one.declared)
        except UnreadableBtf:
            refused += 1
    assert refused > 500
