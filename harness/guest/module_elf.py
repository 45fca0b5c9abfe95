# SPDX-License-Identifier: GPL-2.0-only
"""Reads a module's file, and where a guest's kernel loaded the module."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from elftools.elf.elffile import ELFFile
from elftools.elf.relocation import RelocationSection
from elftools.elf.sections import SymbolTableSection

from harness.errors import KernelFault

TEXT = ".text"
_ADDRESS = re.compile(r"(\S{1,64}) 0x([0-9a-f]{1,16})")


@dataclass(frozen=True)
class ModuleFile:
    """The symbols and sections of a module's file."""

    # Offsets of functions in .text.
    functions: Mapping[str, int]
    # Offsets of variables in .data..percpu.
    per_cpu: Mapping[str, int]
    # The content of .rodata, and the offsets of its bytes that loading changes.
    constants: tuple[bytes, Collection[int]]
    # Names of the sections that a guest's kernel may keep in memory.
    sections: tuple[str, ...]


def read(path: Path) -> ModuleFile:
    """
    Read a module's file.

    Functions come from the symbol table and not from DWARF, in which gcc's functions begin
    behind the two nops that ftrace patches: a kprobe lies on the first nop.
    """
    symbols: dict[str, dict[str, int]] = {".text": {}, ".data..percpu": {}}
    data = b""
    relocated: set[int] = set()
    with path.open("rb") as file:
        elf = ELFFile(file)
        names = [section.name for section in elf.iter_sections()]
        for section in elf.iter_sections():
            if isinstance(section, SymbolTableSection):
                for entry in section.iter_symbols():
                    index = entry["st_shndx"]
                    if isinstance(index, int) and names[index] in symbols and entry.name:
                        symbols[names[index]][entry.name] = entry["st_value"]
            elif section.name == ".rodata":
                data = bytes(section.data())
            elif isinstance(section, RelocationSection) and section.name == ".rela.rodata":
                for relocation in section.iter_relocations():
                    start = relocation["r_offset"]
                    relocated.update(range(start, start + 8))
        loaded = tuple(s.name for s in elf.iter_sections() if s["sh_flags"] & 2 and s["sh_size"])
    return ModuleFile(symbols[".text"], symbols[".data..percpu"], (data, relocated), loaded)


def command(module: str) -> str:
    """Return a shell command that prints where a guest's kernel loaded a module's sections."""
    folder = f"/sys/module/{module.replace('-', '_')}/sections"
    # The kernel refuses to return such a file in parts, as the shell's read asks for it.
    return (
        f"b=/bin/busybox; cd {folder} && for s in .*; do [ ! -f $s ] || echo $s $($b cat $s); done"
    )


def addresses(output: str) -> dict[str, int]:
    """
    Return the sections' addresses by name, from the output of command().

    Raises KernelFault where the output has no addresses.
    """
    lines = [_ADDRESS.fullmatch(line) for line in output.splitlines()]
    found = {line[1]: int(line[2], 16) for line in lines if line}
    if None in lines or TEXT not in found:
        raise KernelFault("The guest does not report where its kernel put a module.")
    return found
