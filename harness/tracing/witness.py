# SPDX-License-Identifier: GPL-2.0-only
"""
Has GDB see what a traced function is called with, and trusts nothing in the guest.

It stops behind the instructions that ftrace patches: there come the caller's own call and the one
that a trampoline makes in its place.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from struct import unpack_from

from elftools.elf.elffile import ELFFile

from harness.abi.aapcs64 import Placement
from harness.guest import module_elf
from harness.guest.records import Record
from harness.inspect.guest import Guest
from harness.inspect.witness import END, INSTRUCTION, MODULE, blaming, load_addresses
from harness.tracers.cell import Cell
from harness.tracing.function import Function
from harness.vm.gdb import PC, SP, Gdb, attached
from harness.vm.machine import DEFAULT_CONFIG, Config

_WORD = 8
_NOP, _BTI_C = 0xD503201F, 0xD503245F
# Instructions that ftrace patches, at the beginning of a function.
_PATCHED = 2


@dataclass(frozen=True)
class Sighted:
    """What GDB saw of a call; of each named argument the bytes."""

    arguments: tuple[bytes, ...]

    def disagreements(self, arrived: Sequence[bytes], function: Function) -> Iterator[str]:
        """Yield a sentence for each argument of which the function recorded other bytes."""
        for index, (seen, recorded) in enumerate(zip(self.arguments, arrived, strict=True)):
            carried = function.case.arguments[index].type.value_bytes
            if any(seen[at] != recorded[at] for at in carried):
                yield f"argument {index} was {seen.hex()}, the function recorded {recorded.hex()}"


def compared(cell: Cell, sighted: Sighted | None, function: Function) -> Cell:
    """Return the cell with where GDB saw something else than the function recorded."""
    if not cell.called:
        return replace(cell, witness=())
    if sighted is None:
        return replace(cell, witness=("it never saw the function",))
    return replace(cell, witness=tuple(sighted.disagreements(cell.arrived, function)))


def config() -> Config:
    """Return the configuration of a guest that GDB can attach to."""
    return replace(DEFAULT_CONFIG, gdb=True)


def watched(
    guest: Guest, functions: Sequence[Function], lines: Sequence[str]
) -> Iterator[tuple[Record, Sighted | None]]:
    """Play lines, one for each function, and yield each record with what GDB saw; see Guest."""
    session = guest.session
    path = guest.modules.folder / f"{MODULE}.ko"
    offsets = module_elf.read(path).functions
    text = load_addresses(session)[module_elf.TEXT]
    bodies = _bodies(path, {one.symbol: offsets[one.symbol] for one in functions})
    end = text + offsets[END]
    with attached(session.machine.gdb, session) as gdb:
        gdb.break_at(end)
        at = {text + offset: name for name, offset in bodies.items()}
        for address in at:
            gdb.break_at(address)
        session.play(lines)
        gdb.resume()
        for function in functions:
            sighted: Sighted | None = None
            with blaming(session):
                while True:
                    gdb.wait_stop(session.deadlines.play)
                    registers = gdb.registers()
                    if at.get(registers[PC]) == function.symbol:
                        sighted = _sight(gdb, registers, function)
                    gdb.resume()
                    if registers[PC] == end:
                        break
            yield session.await_record(session.deadlines.play), sighted


def _bodies(path: Path, functions: Mapping[str, int]) -> dict[str, int]:
    """Return the offset in .text at which each function goes on behind what is patched."""
    with path.open("rb") as file:
        section = ELFFile(file).get_section_by_name(module_elf.TEXT)
        assert section is not None
        text = bytes(section.data())
    found = {}
    for name, offset in functions.items():
        words = unpack_from(f"<{_PATCHED + 1}I", text, offset)
        skipped = words[0] == _BTI_C
        patched = words[skipped : skipped + _PATCHED] == (_NOP,) * _PATCHED
        found[name] = offset + INSTRUCTION * (skipped + _PATCHED * patched)
    return found


def _sight(gdb: Gdb, registers: Mapping[int, int], function: Function) -> Sighted:
    found = []
    for index, placement in enumerate(function.traced.layout.placements):
        type_ = function.traced.types[index]
        argument = function.case.arguments[index]
        size = _WORD if placement.by_reference else type_.size
        data = _placed(gdb, registers, placement, size)
        if placement.by_reference or argument.boxed:
            address = int.from_bytes(data, "little")
            data = gdb.memory(address, argument.type.size)
        found.append(data[: argument.type.size])
    return Sighted(tuple(found))


def _placed(gdb: Gdb, registers: Mapping[int, int], placement: Placement, size: int) -> bytes:
    if placement.stack is not None:
        return gdb.memory(registers[SP] + placement.stack, size)
    words = (registers[number].to_bytes(_WORD, "little") for number in placement.general)
    return b"".join(words)[:size]
