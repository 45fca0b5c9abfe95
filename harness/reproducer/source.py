# SPDX-License-Identifier: GPL-2.0-only
"""The C of a module that has a function with a case's prototype, and calls it with known values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.abi.ctype import CType
from harness.model.case import Case, default_value
from harness.modules.typedefs import declare, declared_tags, define, named_types, renamed

# The prefix of every name, which no header of the kernel's has.
NAMESPACE = "reproducer"
FUNCTION = f"{NAMESPACE}_target"
# A compiler is to leave it as it is, whoever calls it.
_HEAD = "static __used noinline __noclone int\n"
# Columns of a line, of which a tab takes eight.
_COLUMNS, _TAB = 80, 8
_OCTETS_IN_LINE = 8


@dataclass(frozen=True)
class Passed:
    """One argument of the function."""

    type: CType
    # As long as the type, lowest byte first.
    value: bytes
    # The variable's declaration in C.
    declaration: str

    @property
    def mask(self) -> bytes:
        """0xff for each byte that carries value, 0 for padding."""
        return bytes(0xFF * (at in self.type.value_bytes) for at in range(self.type.size))


def arguments(case: Case) -> list[Passed]:
    """Return the arguments of a case's prototype; a box has a pointer that points nowhere."""
    found = []
    for index, argument in enumerate(case.arguments[: case.named]):
        type_, value = renamed(argument.passed, NAMESPACE), argument.value
        if argument.boxed:
            value = default_value(type_, index)
        found.append(Passed(type_, value, declare(type_, f"a{index}")))
    return found


def braces(data: bytes) -> str:
    """Return the initialiser of an array of bytes, on a line of its own if it is short."""
    rows = [
        ", ".join(f"{octet:#04x}" for octet in data[at : at + _OCTETS_IN_LINE])
        for at in range(0, len(data), _OCTETS_IN_LINE)
    ]
    if len(rows) == 1:
        return f"{{ {rows[0]} }}"
    return "{\n" + "".join(f"\t\t{row},\n" for row in rows) + "\t}"


def number(value: bytes) -> str:
    """Return a value as the module prints it."""
    return f"0x{value[::-1].hex()}"


def context(case: Case, *, modifiable: bool) -> Mapping[str, Any]:
    """Return what the module's template needs; `modifiable` lets fmod_ret programs attach."""
    passed = arguments(case)
    names = [f"a{index}" for index in range(len(passed))]
    declarations = [one.declaration for one in passed]
    return {
        "modifiable": modifiable,
        "types": _types([one.type for one in passed]),
        "arguments": passed,
        "size": max(len(one.value) for one in passed),
        "padded": any(0 in one.mask for one in passed),
        "target": _wrapped(f"{_HEAD}{FUNCTION}(", declarations, ")"),
        "prototype": _wrapped(f"int {FUNCTION}(", declarations, ");"),
        "call": _wrapped(f"\t{FUNCTION}(", names, ");"),
    }


def _types(types: Sequence[CType]) -> str:
    parts = [
        "".join(dict.fromkeys(declared_tags(types))),
        *(define(type_) for type_ in dict.fromkeys(named_types(types))),
    ]
    return "\n".join(part for part in parts if part).rstrip()


def _wrapped(head: str, words: Sequence[str], tail: str) -> str:
    """Return a list in parentheses, lines after the first aligned with it."""
    first = head.rpartition("\n")[2]
    column = len(first.expandtabs(_TAB))
    indent = "\t" * (column // _TAB) + " " * (column % _TAB)
    return head + f"\n{indent}".join(_lines(words, _COLUMNS - column, tail))


def _lines(words: Sequence[str], width: int, tail: str) -> Iterator[str]:
    line = ""
    for word in (*(f"{word}," for word in words[:-1]), f"{words[-1]}{tail}"):
        if line and len(line) + 1 + len(word) > width:
            yield line
            line = word
        else:
            line = f"{line} {word}".lstrip()
    yield line
