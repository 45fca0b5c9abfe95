# SPDX-License-Identifier: GPL-2.0-only
"""Reads functions' instructions from an object file of arm64."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import capstone
from capstone import arm64_const as arm64
from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile
from elftools.elf.enums import ENUM_RELOC_TYPE_AARCH64
from elftools.elf.relocation import RelocationSection
from elftools.elf.sections import SymbolTableSection

from harness.errors import InfrastructureError

SIZE = 4
# The id of an instruction of which nothing is known.
UNKNOWN: int = arm64.ARM64_INS_INVALID
_CALLS = [ENUM_RELOC_TYPE_AARCH64[f"R_AARCH64_{name}"] for name in ("CALL26", "JUMP26")]


@dataclass(frozen=True)
class Register:
    """A general register, SP, or the one that is always zero, by its name of 64 bits: "x0"."""

    name: str
    # 64, or 32 where the instruction uses its lower half.
    bits: int


@dataclass(frozen=True)
class Memory:
    """Where in memory an instruction loads or stores."""

    base: str
    # In bytes from the base register; None where it is not known.
    offset: int | None
    # How many bytes the base register moves; None where that is not known.
    moved: int | None = 0


# None for what is not followed: a register that is shifted or extended, a system
# register, or a number that the linker fills in.
Operand = Register | Memory | int | None


@dataclass(frozen=True)
class Instruction:
    """An instruction, as far as it is followed."""

    # Where it is in its section, in bytes.
    address: int
    # Capstone's number, arm64.ARM64_INS_...; UNKNOWN if it has operands other than those here.
    id: int
    operands: tuple[Operand, ...] = ()
    # The function that it calls or jumps to, where the linker puts that in.
    function: str | None = None

    @property
    def target(self) -> int | None:
        """The address that a branch leads to, or None where it is not known."""
        last = self.operands[-1] if self.operands else None
        return last if isinstance(last, int) else None


# By address: the function that the linker puts in, or None for another number.
Links = Mapping[int, str | None]


def functions(path: Path, names: Collection[str]) -> dict[str, list[Instruction]]:
    """
    Return the instructions of an object file's functions of these names.

    A function that the file does not have is left out.  Raises InfrastructureError for
    a file that is no ELF file.
    """
    with path.open("rb") as file:
        try:
            return dict(_functions(ELFFile(file), names))
        except ELFError as error:
            raise InfrastructureError(
                f"{path.name}, just compiled, is no object file: {error}.",
                f"Choose a compiler that writes one, and look after the disk of {path.parent}.",
            ) from error


def _functions(elf: ELFFile, names: Collection[str]) -> Iterator[tuple[str, list[Instruction]]]:
    table = elf.get_section_by_name(".symtab")
    symbols = list(table.iter_symbols()) if isinstance(table, SymbolTableSection) else []
    links: dict[int, Links] = {}
    for symbol in symbols:
        number = symbol["st_shndx"]
        # An undefined symbol has a word in place of a section's number.
        if symbol.name not in names or not isinstance(number, int):
            continue
        section = elf.get_section(number)
        if number not in links:
            relocations = elf.get_section_by_name(f".rela{section.name}")
            links[number] = dict(_links(relocations, [symbol.name for symbol in symbols]))
        start = symbol["st_value"]
        code = section.data()[start : start + symbol["st_size"]]
        yield symbol.name, decode(code, start, links[number])


def _links(relocations: object, symbols: Sequence[str]) -> Iterator[tuple[int, str | None]]:
    if not isinstance(relocations, RelocationSection):
        return
    for relocation in relocations.iter_relocations():
        name = None
        if relocation["r_info_type"] in _CALLS:
            # The symbol of a function of this file may be its section's, which has no name.
            name = symbols[relocation["r_info_sym"]]
            name += f"+{relocation['r_addend']:#x}" if relocation["r_addend"] else ""
        yield relocation["r_offset"] // SIZE * SIZE, name


def _decoder() -> Any:
    decoder = capstone.Cs(capstone.CS_ARCH_ARM64, capstone.CS_MODE_ARM)
    decoder.detail = True
    # What it does not know comes with the id UNKNOWN, and does not end the decoding.
    decoder.skipdata = True
    return decoder


_REGISTERS = {
    arm64.ARM64_REG_SP: Register("sp", 64),
    arm64.ARM64_REG_WSP: Register("sp", 32),
    arm64.ARM64_REG_XZR: Register("xzr", 64),
    arm64.ARM64_REG_WZR: Register("xzr", 32),
    **{getattr(arm64, f"ARM64_REG_X{number}"): Register(f"x{number}", 64) for number in range(31)},
    **{getattr(arm64, f"ARM64_REG_W{number}"): Register(f"x{number}", 32) for number in range(31)},
}
# Numbers of other kinds, which name no register.
_OTHERS = (arm64.ARM64_OP_SYS, arm64.ARM64_OP_BARRIER, arm64.ARM64_OP_PREFETCH)


class _UnknownOperand(Exception):
    """An operand that is not followed, such as a vector."""


def decode(code: bytes, address: int = 0, links: Links | None = None) -> list[Instruction]:
    """Return the instructions of code that begins at an address of its section, in bytes."""
    links = links or {}
    found = []
    for decoded in _decoder().disasm(code, address):
        instruction = Instruction(decoded.address, UNKNOWN)
        if decoded.id != UNKNOWN:
            try:
                operands = tuple(_operands(decoded, decoded.address in links))
                function = links.get(decoded.address)
                instruction = Instruction(decoded.address, decoded.id, operands, function)
            except _UnknownOperand:
                pass
        found.append(instruction)
    return found


def _operands(decoded: Any, linked: bool) -> Iterator[Operand]:
    operands = list(decoded.operands)
    moved: int | None = 0
    if decoded.writeback:
        # Where the base register moves after the access, the last operand says how far.
        moved = operands.pop().imm if decoded.post_index else operands[-1].mem.disp
    for operand in operands:
        altered = operand.shift.type or operand.ext
        if operand.type == arm64.ARM64_OP_REG:
            register = _register(operand.reg)
            yield None if altered else register
        elif operand.type == arm64.ARM64_OP_IMM:
            yield None if altered or linked else operand.imm
        elif operand.type == arm64.ARM64_OP_MEM:
            indexed = linked or operand.mem.index
            offset = None if indexed else 0 if decoded.post_index else operand.mem.disp
            yield Memory(_register(operand.mem.base).name, offset, None if linked else moved)
        elif operand.type in _OTHERS:
            yield None
        else:
            raise _UnknownOperand


def _register(number: int) -> Register:
    if number not in _REGISTERS:
        raise _UnknownOperand
    return _REGISTERS[number]
