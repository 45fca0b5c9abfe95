# SPDX-License-Identifier: GPL-2.0-only
"""
What is known of registers and of the stack at a point of a function.

A value is unknown unless it is certain: a store to an unknown address makes all of memory
unknown, and so is what lies below SP, where an interrupt may write at any time.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from harness.modules.disassembly import Memory, Operand, Register

# A value that an instruction computes: a base and an offset in bytes.  Bases are
# "sp" (SP at the handler's entry), "x0".. (a register at entry), "slot:N" (what
# lies N bytes above SP at entry), "" for a constant.
Value = tuple[str, int]

WORD = 8
# No constant size that is larger than this is followed; a kernel's stack has 16 KiB.
SIZE_MAX = 1 << 16
# Registers that a call may change: all but x19 to x28, x29 and SP.
CLOBBERED = tuple(f"x{number}" for number in (*range(19), 30))


def plus(value: Value | None, offset: int | None) -> Value | None:
    """Return a value with an offset in bytes added, modulo 2^64, or None if one is not known."""
    if value is None or offset is None:
        return None
    number = (value[1] + offset) % (1 << 64)
    return value[0], number - (number >> 63 << 64) if value[0] else number


@dataclass
class Frame:
    """What is known of registers and of the stack, by offset in bytes from SP at entry."""

    registers: dict[str, Value] = field(
        default_factory=lambda: {
            name: (name, 0) for name in ("sp", *(f"x{number}" for number in range(31)))
        }
    )
    # Words that were stored; None where some of a word's bytes are not known.
    memory: dict[int, Value | None] = field(default_factory=dict)
    # Whether words above SP that have no entry in `memory` are still as they were at entry.
    area_kept: bool = True

    def value(self, operand: Operand) -> Value | None:
        """Return what an operand is: a number, or what a register holds."""
        if isinstance(operand, int):
            return plus(("", 0), operand)
        if not isinstance(operand, Register):
            return None
        if operand.name == "xzr":
            return "", 0
        return _part(self.registers.get(operand.name), operand)

    def set(self, register: Register, value: Value | None) -> None:
        """Record what an instruction writes to a register."""
        self._set(register.name, _part(value, register))

    def _set(self, name: str, value: Value | None) -> None:
        self.registers.pop(name, None)
        if value and name != "xzr":
            self.registers[name] = value
        if name == "sp":
            floor = self._floor()
            # What lies below SP, an interrupt may overwrite.
            if floor is None or floor > 0:
                self.forget_memory()
            else:
                self.memory = {at: word for at, word in self.memory.items() if at >= floor}

    def _floor(self) -> int | None:
        value = self.registers.get("sp")
        return value[1] if value and value[0] == "sp" else None

    def address(self, memory: Memory) -> Value | None:
        """Return the address of an access, before its base register moves."""
        return plus(self.registers.get(memory.base), memory.offset)

    def move(self, memory: Memory) -> None:
        """Move the base register of an access as the instruction does."""
        if memory.moved != 0:
            self._set(memory.base, plus(self.registers.get(memory.base), memory.moved))

    def clobber(self) -> None:
        """Forget the registers that a call may change."""
        for name in CLOBBERED:
            self._set(name, None)

    def forget_all(self) -> None:
        """Forget what an instruction that is not followed may change: everything."""
        self.registers.clear()
        self.forget_memory()

    def forget_memory(self) -> None:
        """Forget all of memory."""
        self.memory.clear()
        self.area_kept = False

    def written(self, address: Value | None, size: int | None) -> None:
        """Forget what a write of `size` unknown bytes may have changed."""
        if address and address[0] == "sp" and size is not None and size <= SIZE_MAX:
            # All words that overlap the bytes.
            self.memory.update(dict.fromkeys(range(address[1] - WORD + 1, address[1] + size)))
        else:
            self.forget_memory()

    def store(self, address: Value | None, value: Value | None) -> None:
        """Record a store of one word."""
        self.written(address, WORD)
        floor = self._floor()
        if address and address[0] == "sp" and floor is not None and address[1] >= floor:
            self.memory[address[1]] = value

    def load(self, address: Value | None) -> Value | None:
        """Return the word at an address, or None where it is unknown."""
        if address is None or address[0] != "sp":
            return None
        if address[1] in self.memory:
            return self.memory[address[1]]
        return (f"slot:{address[1]}", 0) if self.area_kept and address[1] >= 0 else None


def _part(value: Value | None, register: Register) -> Value | None:
    """Return the part of a value that fits in a register; half an address is unknown."""
    if value is None or register.bits == 64:
        return value
    return None if value[0] else ("", value[1] % (1 << register.bits))
