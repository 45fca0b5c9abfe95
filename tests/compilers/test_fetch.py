# SPDX-License-Identifier: GPL-2.0-only
"""
Give the expressions that `where` prints to the tools that are to read them.

GDB evaluates each in a core file with the arguments in their places.  SystemTap and bpftrace parse
them, resolve their names and check their types, and bpftrace compiles them.  perf probe only takes
apart what it passes on: perf's expressions are read by the kernel, and so are those of kprobe
events (tests/guest/test_where.py).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from harness.abi.aapcs64 import place
from harness.abi.ctype import LONG
from harness.abi.places import Piece
from harness.cases.catalog import Catalog
from harness.measure.fetch import fetched
from harness.measure.located import Given, located
from tests.compilers import tools
from tests.compilers.emulator import Signature, State
from tests.compilers.test_placement import generate
from tests.compilers.test_where import fetch

# Random signatures beside the cases'.
FEW, MANY = 40, 2000


def pieces(signature: Signature) -> Iterator[Piece]:
    """Yield the pieces of a signature's named arguments that a syntax has expressions for."""
    types = signature.types
    given = [Given(f"a{index}", "", type_) for index, type_ in enumerate(types[: signature.named])]
    for argument in located(given, place(types)):
        for part in argument.parts:
            yield from (piece for piece in part.pieces if fetched("gdb", piece))


def signatures(count: int) -> list[Signature]:
    cases = Catalog().cases.values()
    found = [Signature(tuple(a.passed for a in c.arguments), c.named) for c in cases]
    return [*found, *generate(count, 1)]


def expressions(syntax: str, count: int) -> list[str]:
    """Return the expressions of a syntax, each once."""
    found = (piece for signature in signatures(count) for piece in pieces(signature))
    return list(dict.fromkeys(fetched(syntax, piece) for piece in found))


def shapes(found: Sequence[str], numbers: str) -> list[str]:
    """Return one of all expressions that differ in nothing but what a pattern matches."""
    return list({re.sub(numbers, "", expression): expression for expression in found}.values())


def chunks(found: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    return (found[start : start + size] for start in range(0, len(found), size))


few_or_many = pytest.mark.parametrize("count", [FEW, pytest.param(MANY, marks=pytest.mark.full)])


@few_or_many
def test_gdb_reads_what_was_passed(count: int, tmp_path: Path) -> None:
    asked, passed = [], []
    for number, signature in enumerate(signatures(count)):
        state = State(number, signature)
        found = list(dict.fromkeys(pieces(signature)))
        asked.append((state, [fetched("gdb", piece) for piece in found]))
        passed.append([fetch(piece, state) for piece in found])
    assert sum(map(len, passed)) > 1000
    assert tools.gdb(asked, tmp_path) == passed


def test_gdb_tells_a_wrong_expression(tmp_path: Path) -> None:
    """The positive control: the next register, and what is no expression."""
    state = State(0, Signature((LONG, LONG), 2))
    right, other = tools.gdb([(state, ["(unsigned long)$x0", "(unsigned long)$x1"])], tmp_path)[0]
    assert right == state.general[0] != other
    with pytest.raises(AssertionError, match="syntax error"):
        tools.gdb([(state, ["(unsigned long)$x0 >>"])], tmp_path)


@few_or_many
def test_perf_probe_passes_them_on(count: int, tmp_path: Path) -> None:
    for some in chunks(expressions("perf", count), tools.ARGUMENTS):
        written = [f"v{at}={expression}" for at, expression in enumerate(some)]
        assert tools.perf(some, tmp_path)[2:] == written
    # The positive control: a variable, which it looks up itself.
    assert tools.perf(["a"], tmp_path)[2:] == ["v0=%x0:s64"]


@few_or_many
def test_systemtap_takes_them(count: int, tmp_path: Path) -> None:
    found = expressions("systemtap", count)
    assert tools.systemtap(found, tmp_path) == ""
    names = set(re.findall(r'u_register\("(\w+)"\)', "".join(found)))
    assert names == {"sp", *(f"x{number}" for number in range(8))}
    assert names <= tools.systemtap_registers()


@pytest.mark.parametrize(
    ("wrong", "why"),
    [('kernel_uint64(u_register("sp"))', "unresolved function"), ("(1 &)", "parse error")],
)
def test_systemtap_tells_a_wrong_one(wrong: str, why: str, tmp_path: Path) -> None:
    """The positive control."""
    assert why in tools.systemtap([wrong], tmp_path)


@few_or_many
def test_bpftrace_compiles_them(count: int, tmp_path: Path) -> None:
    # It takes a hundred times as long as the others: all numbers are alike, or all offsets.
    found = shapes(expressions("bpftrace", count), r"\d+" if count == FEW else r"\+ \d+")
    assert len(found) > 20
    for some in chunks(found, tools.PROGRAM):
        refused, code = tools.bpftrace(some, tmp_path)
        assert refused == ""
        # No sign is extended, neither by a load nor by a shift.
        assert not re.search(r"\b(ashr|sext)\b", code)
        assert code.count(" lshr ") >= sum(">>" in expression for expression in some)


@pytest.mark.parametrize(
    ("wrong", "why"),
    [('reg("x0")', "not a valid register"), ('*(uint8 *)(reg("sp") +)', "syntax error")],
)
def test_bpftrace_tells_a_wrong_one(wrong: str, why: str, tmp_path: Path) -> None:
    """The positive control."""
    assert why in tools.bpftrace([wrong], tmp_path)[0]
