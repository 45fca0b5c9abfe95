# SPDX-License-Identifier: GPL-2.0-only
"""C declarations as people write them."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.abi import ctype
from harness.abi.ctype import Array, BitField, Composite, CType, Enumeration, Scalar
from harness.abi.declaration import KEYWORDS, Reader, enumerators
from harness.cases import writer
from harness.cases.reader import load_case
from harness.errors import ConfigError
from tests.unit.factory import case


@pytest.mark.parametrize(
    ("text", "type_"),
    [
        ("unsigned", ctype.UINT),
        ("long unsigned int", ctype.ULONG),
        ("int long unsigned long", ctype.ULONG_LONG),
        ("signed short int", ctype.SHORT),
        ("unsigned __int128", ctype.UINT128),
        ("_Bool", ctype.BOOL),
        ("const long", ctype.LONG),
        ("volatile int x", ctype.INT),
        ("register unsigned long flags", ctype.ULONG),
        ("u64", Scalar("u64", 8)),
        ("__le16 const id", Scalar("__le16", 2)),
        ("char[2][6]", Array(Array(ctype.CHAR, 6), 2)),
        ("char name[16]", Array(ctype.CHAR, 16)),
        ("unsigned int ready:1", BitField(ctype.UINT, 1)),
        ("char name[0x10];", Array(ctype.CHAR, 16)),
        ("u8 : 3", BitField(Scalar("u8", 1), 3)),
    ],
)
def test_what_is_read(text: str, type_: CType | BitField) -> None:
    assert Reader().member(text) == type_


@pytest.mark.parametrize(
    ("text", "spelling"),
    [
        ("void*", "void *"),
        ("struct file *file", "struct file *"),
        ("const struct path *", "const struct path *"),
        ("char const *const name", "char const *"),
        ("const char * const * argv", "const char *const *"),
        ("char __user *buf", "char __user *"),
        ("long unsigned *", "unsigned long *"),
        ("enum color **", "enum color **"),
        ("void (*)(int)", "void (*)(int)"),
        ("int (*fn)(struct file *, size_t count, ...)", "int (*)(struct file *, size_t, ...)"),
        ("void (*done)()", "void (*)(void)"),
    ],
)
def test_what_is_a_pointer(text: str, spelling: str) -> None:
    type_ = Reader().parameter(text)
    assert type_ == Scalar(spelling, 8, ctype.TypeKind.POINTER)
    # What is written can be read again.
    assert Reader().parameter(spelling) == type_


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("lung", "no type 'lung'. The nearest: long"),
        ("lung *", "no type 'lung'. The nearest: long"),
        ("unsigned u32", "no type 'unsigned u32'"),
        ("long long long", "no type 'long long long'"),
        ("u32 int", "no type 'u32 int'"),
        ("struct file", "no type 'struct file'"),
        ("char[]", "an array needs an element"),
        ("char[010]", "an array needs an element"),
        ("char[0]", "an array needs an element"),
        ("char[2][SIZE]", "an array needs an element; give a number of them"),
        ("void (*x[N])(int)", "an array needs an element"),
        ("char[2]", "C passes an array as a pointer"),
        ("int x:3", "only a member of a struct can be a bit-field"),
        ("char *a b", "not understood; write one thing"),
        ("char *[", "not understood; write one thing"),
        ("const", "no type 'const'"),
        ("*", "no type '*'"),
        ("", "no type ''"),
        ("void", "no type 'void'"),
        ("void (*)(lung)", "no type 'lung'"),
    ],
)
def test_what_is_not_read(text: str, sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Reader().parameter(text)
    assert sentence in str(caught.value)


def test_no_name_of_the_kernels_is_a_word_of_c() -> None:
    assert not KEYWORDS & {name for name in ctype.SCALARS if name.endswith("_t")}


@pytest.mark.parametrize(
    ("members", "packed", "size"),
    [
        (["RED", "GREEN"], False, 4),
        (["ALL = 0xffffffff"], False, 4),
        (["ALL = 0xffffffff", "NONE = -1"], False, 8),
        (["MOST = 0xffffffffffffffff"], False, 8),
        (["LEAST = -0x8000000000000000"], False, 8),
        (["OCTET = 255"], True, 1),
        (["OCTET = 255", "NONE = -1"], True, 2),
    ],
)
def test_an_enums_size_is_that_of_its_values(members: list[str], packed: bool, size: int) -> None:
    values = tuple(enumerators(members).items())
    assert ctype.enumeration("color", values, packed=packed).size == size


def test_an_enums_values_count_on() -> None:
    assert enumerators(["A", "B = 0x10", "C", "D = -1", "E"]) == {
        "A": 0, "B": 16, "C": 17, "D": -1, "E": 0,
    }  # fmt: skip


WRITTEN = """
types:
  color: {keyword: enum, members: [RED, "GREEN = 0x100000000"]}
  enum tiny: {members: [X], packed: true}
  node: ["struct node *next", "char name[2][6]", color, "void (*ops[2])(int)"]
  packet:
    - tiny
    - {keyword: union, members: ["u64 whole", {members: [u32, u16], packed: true}]}
    - {members: [u8], aligned: 4}
arguments:
  - 8 x size_t
  - color
  - enum color
  - node
  - struct packet
  - "const struct packet *"
  - "char __user *"
  - {type: tiny, value: 1}
"""


def test_all_of_it_goes_through_a_file(tmp_path: Path) -> None:
    made = case(WRITTEN)
    path = tmp_path / f"{made.name}.yaml"
    path.write_text(writer.text(made))
    assert load_case(path).arguments == made.arguments


def test_how_it_is_laid_out() -> None:
    color, _, node, packet, *_ = case(WRITTEN).types[8:]
    assert isinstance(color, Enumeration)
    assert color.size == 8
    assert isinstance(node, Composite)
    assert [member.offset for member in node.members] == [0, 8, 24, 32]
    assert isinstance(packet, Composite)
    assert [member.offset for member in packet.members] == [0, 8, 16]
    assert (packet.size, packet.align) == (24, 8)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{types: {int: [long]}, arguments: [int]}", "types.int: 'int' is a type already"),
        (
            "{types: {register: [long]}, arguments: [register]}",
            "types.register: 'register' is a type al",
        ),
        ("{types: {u32: [long]}, arguments: [u32]}", "types.u32: 'u32' is a type already"),
        ("{types: {2d: [long]}, arguments: [2d]}", "types.2d: no name for a struct"),
        ("{types: {a b: [long]}, arguments: [b]}", "types.a b: no name for a struct"),
        (
            "{types: {union b: {keyword: enum, members: [A]}}, arguments: [b]}",
            "types.union b: no name for an enum",
        ),
        ("{types: {a: [int], struct a: [int]}, arguments: [a]}", "struct a: 'a' is a type already"),
        ("{types: {e: {keyword: enum, members: []}}, arguments: [e]}", "an enum needs a member"),
        (
            "{types: {e: {keyword: enum, members: [A, A]}}, arguments: [e]}",
            "types.e: 'A': give each value a name of its own",
        ),
        (
            "{types: {e: {keyword: enum, members: ['A = 010']}}, arguments: [e]}",
            "types.e: 'A = 010': give each value a name of its own",
        ),
        (
            "{types: {e: {keyword: enum, members: ['A = -1', 'B = 0xffffffffffffffff']}},"
            " arguments: [e]}",
            "types.e: no integer type has both",
        ),
        (
            "{types: {e: {keyword: enum, members: [A], aligned: 8}}, arguments: [e]}",
            "types.e: an enum has a name, and values",
        ),
        (
            "{types: {s: [{keyword: enum, members: [A]}]}, arguments: [s]}",
            "types.s.members[0]: an enum has a name, and values",
        ),
        ("{types: {s: [{members: []}]}, arguments: [s]}", "types.s.members[0]: a struct needs a"),
        ("{types: {s: [long]}, arguments: [union s]}", "'union s': 's' is a struct here"),
        ("{types: {s: ['enum s *']}, arguments: [s]}", "'enum s': 's' is a struct here"),
        ("{types: {a: ['enum s *'], s: [a]}, arguments: [s]}", "'struct s': 's' is an enum here"),
        ("{arguments: ['struct x *', 'union x *']}", "'union x': 'x' is a struct here"),
    ],
)
def test_a_type_that_cannot_be(text: str, sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        case(text)
    assert sentence in str(caught.value)
