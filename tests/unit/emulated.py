# SPDX-License-Identifier: GPL-2.0-only
"""
Compare what the tracker says of instructions with what an emulator does.

Registers and memory are random before the instructions run, and before each of them an
interrupt overwrites what lies below SP.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from random import Random
from typing import Any

import unicorn
from unicorn import arm64_const as arm64

from harness.modules import tracker
from harness.modules.disassembly import decode
from harness.modules.frame import CLOBBERED, WORD, Frame, Value

# unicorn's own annotations do not fit what it exports.
_unicorn: Any = unicorn

CODE, CALLEE, MEMORY = 0x10000, 0x20000, 0x800000
PAGE, MEMORY_SIZE = 0x1000, 0x2000
# A register that holds a function's address, and that no instruction of a test changes.
POINTER = "x20"
# How much above SP at entry is compared, and how much below SP an interrupt uses, in bytes.
AREA, USED = 96, 64
NAMES = [*(f"x{number}" for number in range(31)), "sp"]
_NUMBERS = {name: getattr(arm64, f"UC_ARM64_REG_{name.upper()}") for name in NAMES}
RET = bytes.fromhex("c0035fd6")


class Unmapped(Exception):
    """The instructions use memory that is not there."""


@dataclass(frozen=True)
class State:
    """Registers and memory."""

    registers: dict[str, int]
    memory: bytes

    def word(self, address: int) -> int:
        start = address - MEMORY
        return int.from_bytes(self.memory[start : start + WORD], "little")


class Emulator:
    """An emulator whose memory holds one run at a time."""

    def __init__(self) -> None:
        self._machine = _unicorn.Uc(_unicorn.UC_ARCH_ARM64, _unicorn.UC_MODE_ARM)
        self._machine.ctl_set_cpu_model(arm64.UC_CPU_ARM64_MAX)
        self._machine.mem_map(CODE, PAGE)
        self._machine.mem_map(CALLEE, PAGE)
        self._machine.mem_write(CALLEE, RET)
        self._machine.mem_map(MEMORY, MEMORY_SIZE)
        self._machine.hook_add(_unicorn.UC_HOOK_CODE, self._before)
        self._random = Random()

    def run(self, code: bytes, seed: int) -> tuple[State, State]:
        """Return the random state before, and the state after; raise Unmapped."""
        self._random = Random(seed)
        memory = self._random.randbytes(MEMORY_SIZE)
        registers = {name: self._value() for name in NAMES}
        registers["sp"] = MEMORY + MEMORY_SIZE // 2 + 16 * self._random.randrange(-4, 4)
        registers[POINTER] = CALLEE
        end = CODE + len(code)
        if self._random.randrange(2):
            # For a return.
            registers["x30"] = end
        self._machine.mem_write(CODE, code)
        self._machine.ctl_remove_cache(CODE, CODE + PAGE)
        self._machine.mem_write(MEMORY, memory)
        self._write(registers)
        try:
            self._machine.emu_start(CODE, end, count=100)
        except _unicorn.UcError as error:
            raise Unmapped(error) from error
        after = {name: self._machine.reg_read(number) for name, number in _NUMBERS.items()}
        return State(registers, memory), State(after, self._memory())

    def _memory(self) -> bytes:
        return bytes(self._machine.mem_read(MEMORY, MEMORY_SIZE))

    def _write(self, registers: dict[str, int]) -> None:
        for name, value in registers.items():
            self._machine.reg_write(_NUMBERS[name], value)

    def _value(self) -> int:
        """Return a number, or an address near SP or far from it."""
        spread = self._random.choice([AREA, MEMORY_SIZE // 4])
        near = MEMORY + MEMORY_SIZE // 2 + self._random.randrange(-spread, spread)
        values = [near, near & -8, near & -8, self._random.randrange(64)]
        return self._random.choice([*values, self._random.getrandbits(64)])

    def _before(self, machine: Any, address: int, size: int, data: Any) -> None:
        """Interrupt each instruction, and change in a called function all that it may change."""
        sp = self._machine.reg_read(arm64.UC_ARM64_REG_SP)
        if address == CALLEE:
            returns = self._machine.reg_read(arm64.UC_ARM64_REG_X30)
            self._write({name: self._value() for name in CLOBBERED} | {"x30": returns})
            self._machine.mem_write(MEMORY, self._random.randbytes(MEMORY_SIZE))
        elif MEMORY + USED <= sp < MEMORY + MEMORY_SIZE:
            self._machine.mem_write(sp - USED, self._random.randbytes(USED))


@functools.cache
def _emulator() -> Emulator:
    return Emulator()


def followed(code: bytes) -> Frame:
    """Return what the tracker knows after instructions."""
    frame = Frame()
    for instruction in decode(code):
        tracker.follow(frame, instruction)
    return frame


def disagreements(code: bytes, seed: int) -> list[str]:
    """Return what the tracker says and the emulator does not show; raise Unmapped."""
    before, after = _emulator().run(code, seed)
    frame = followed(code)
    sp = before.registers["sp"]

    def number(value: Value) -> int:
        base, offset = value
        if base.startswith("slot:"):
            return (before.word(sp + int(base.removeprefix("slot:"))) + offset) % (1 << 64)
        return (before.registers.get(base, 0) + offset) % (1 << 64)

    wrong = [
        f"{name} is {value}"
        for name, value in frame.registers.items()
        if after.registers[name] != number(value)
    ]
    for at in range(-AREA, AREA):
        value = frame.load(("sp", at))
        if value and after.word(sp + at) != number(value):
            wrong.append(f"SP + {at} has {value}")
    return wrong
