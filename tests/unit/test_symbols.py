# SPDX-License-Identifier: GPL-2.0-only
"""The file that gives a debugger the running kernel's symbols."""

from __future__ import annotations

import io
import subprocess
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import KernelFault
from harness.guest import module_elf, symbols
from harness.guest.symbols import Symbol

KALLSYMS = """\
ffff800008010100 t handler
ffff800008010000 T _stext
0000000000000000 A fixed_percpu_data
ffff800008020000 d handler
ffff800000be0000 t of_a_module	[probe_targets]
"""


def read(data: bytes) -> list[tuple[str, int, int, str]]:
    table = ELFFile(io.BytesIO(data)).get_section_by_name(".symtab")
    assert isinstance(table, SymbolTableSection)
    return [
        (one.name, one["st_value"], one["st_size"], one["st_info"]["type"])
        for one in table.iter_symbols()
        if one.name
    ]


def test_the_kernels_own_symbols_by_address() -> None:
    parsed = symbols.parse(KALLSYMS)
    assert [(one.name, one.kind) for one in parsed] == [
        ("_stext", "T"), ("handler", "t"), ("handler", "d"),
    ]  # fmt: skip
    assert read(symbols.elf(parsed)) == [
        ("_stext", 0xFFFF800008010000, 0x100, "STT_FUNC"),
        ("handler", 0xFFFF800008010100, 0xFF00, "STT_FUNC"),
        ("handler", 0xFFFF800008020000, 4, "STT_OBJECT"),
    ]


def test_what_is_no_symbol_is_passed_over() -> None:
    hostile = f"{'f' * 17} T x\nzz T x\n-1 T x\n1 TT x\n1 T\n{'1' * 5000} T x\n"
    assert symbols.parse(hostile + KALLSYMS) == symbols.parse(KALLSYMS)


@pytest.mark.parametrize(
    "output",
    ["", ".data 0x10", ".text", ".text 0x", ".text 10", f".text 0x{'f' * 17}", ".text 0x1 0x2"],
)
def test_a_guest_that_reports_no_addresses(output: str) -> None:
    with pytest.raises(KernelFault, match="does not report where"):
        module_elf.addresses(output)


def test_without_rights_there_are_none() -> None:
    assert symbols.parse("0000000000000000 T _stext\n") == []


names = st.text("abc_$.", min_size=1, max_size=20)
made = st.lists(st.tuples(names, st.integers(1, 1 << 63), st.sampled_from("tTdDbB")), min_size=1)


@given(made)
def test_what_goes_in_comes_out(rows: list[tuple[str, int, str]]) -> None:
    ordered = sorted((Symbol(*row) for row in rows), key=lambda one: one.address)
    found = read(symbols.elf(ordered))
    assert [(name, address) for name, address, _, _ in found] == [
        (one.name, one.address) for one in ordered
    ]
    assert all(size >= 0 for _, _, size, _ in found)


def test_other_tools_read_it(tmp_path: Path) -> None:
    (tmp_path / "symbols").write_bytes(symbols.elf(symbols.parse(KALLSYMS)))
    done = subprocess.run(
        ["aarch64-linux-gnu-nm", "-n", tmp_path / "symbols"], capture_output=True, text=True
    )
    assert done.stdout.splitlines()[0] == "ffff800008010000 T _stext"
    assert done.stderr == ""


def test_where_a_guest_says_that_sections_are() -> None:
    assert module_elf.addresses(".text 0xffff8000\n.data 0x10\n") == {
        ".text": 0xFFFF8000, ".data": 0x10,
    }  # fmt: skip
    assert "/sys/module/probe_targets/sections" in module_elf.command("probe-targets")
