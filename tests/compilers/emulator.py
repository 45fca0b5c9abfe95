# SPDX-License-Identifier: GPL-2.0-only
"""
Ask a compiled function where it finds its parameters.

A machine is set up as the model places the arguments, everything else in
registers and memory is garbage, and the function runs in the Unicorn emulator.
It copies each parameter to memory; what arrives there must be what was placed.
"""

from __future__ import annotations

import functools
import io
import random
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import unicorn
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection
from unicorn import arm64_const as registers

from harness.abi.aapcs64 import place
from harness.abi.ctype import Composite, CType, enumeration
from harness.modules.typedefs import declare, define, named_types

# unicorn's own annotations do not fit what it exports.
_unicorn: Any = unicorn

CODE = 0x10000
STACK = 0x800000
STACK_SIZE = 0x10000
COPIES = 0x900000
COPIES_SIZE = 0x40000
RETURN = 0xF000000
STEPS_MAX = 1_000_000

COMPILERS = {
    "gcc": ["aarch64-linux-gnu-gcc"],
    "clang": ["clang", "--target=aarch64-linux-gnu"],
}
FLAGS = [
    "-ffreestanding",
    "-fno-stack-protector",
    "-fno-pic",
    "-w",
    "-Wno-packed-bitfield-compat",
    "-c",
]

_HEAD = """\
typedef _Bool bool;
typedef signed char int8x8_t __attribute__((vector_size(8)));
typedef signed char int8x16_t __attribute__((vector_size(16)));
typedef __builtin_va_list va_list;
#define __packed __attribute__((packed))
#define __aligned(n) __attribute__((aligned(n)))
unsigned char seen[65536];
/* A compiler may call it for a large struct; volatile keeps it from doing so here. */
void *memcpy(void *to, const void *from, unsigned long size)
{
	volatile unsigned char *out = to;
	const unsigned char *in = from;

	while (size--)
		*out++ = *in++;
	return to;
}

static inline __attribute__((always_inline)) void
look(unsigned long offset, const void *at, unsigned long size)
{
	const volatile unsigned char *from = at;

	while (size--)
		seen[offset++] = *from++;
}
"""


ENUMS = [
    enumeration("word", [("WORD", 1 << 30)]),
    enumeration("all_bits", [("ALL", (1 << 32) - 1), ("NONE", 0)]),
    enumeration("wide", [("MINUS", -1), ("PLUS", (1 << 32) - 1)]),
    enumeration("widest", [("MOST", (1 << 64) - 1)]),
    enumeration("lowest", [("LEAST", -(1 << 63))]),
    enumeration("short_word", [("SHORT", 1 << 14)], packed=True),
    enumeration("octet", [("OCTET", 255)], packed=True),
    enumeration("signed_octet", [("LEAST", -128), ("MOST", 127)], packed=True),
    enumeration("no_octet", [("LEAST", -1), ("MOST", 128)], packed=True),
]


@dataclass(frozen=True)
class Signature:
    """An argument list; the arguments from `named` on are variadic."""

    types: tuple[CType, ...]
    named: int

    def __str__(self) -> str:
        return source([self])


def _offsets(signature: Signature) -> list[int]:
    """Return the offset to which each parameter is copied."""
    offsets, cursor = [], 0
    for type_ in signature.types:
        offsets.append(cursor)
        cursor += type_.size
    return offsets


def _function(index: int, signature: Signature) -> str:
    parameters = [declare(t, f"a{i}") for i, t in enumerate(signature.types[: signature.named])]
    variadic = signature.named < len(signature.types)
    lines = []
    for i, (type_, offset) in enumerate(zip(signature.types, _offsets(signature))):
        if i < signature.named:
            lines.append(f"look({offset}, &a{i}, sizeof(a{i}));")
        else:
            spelling = type_.spelling
            lines.append(f"{{ {declare(type_, 'v')} = __builtin_va_arg(ap, {spelling});")
            lines.append(f"look({offset}, &v, sizeof(v)); }}")
    if variadic:
        lines.insert(0, f"__builtin_va_start(ap, a{signature.named - 1});")
        lines.insert(0, "va_list ap;")
        parameters.append("...")
    body = "".join(f"\t{line}\n" for line in lines)
    return f"void f{index}({', '.join(parameters)})\n{{\n{body}}}\n"


def source(
    signatures: Sequence[Signature], function: Callable[[int, Signature], str] = _function
) -> str:
    """Return a C file with one function for each signature."""
    types = dict.fromkeys(c for s in signatures for c in named_types(s.types))
    functions = [function(index, s) for index, s in enumerate(signatures)]
    return "\n".join([_HEAD, *(define(t) for t in types), *functions])


def compile_(
    compiler: str,
    signatures: Sequence[Signature],
    folder: Path,
    function: Callable[[int, Signature], str] | None = None,
    level: str = "-O1",
) -> ELFFile:
    """Compile and link functions, which `function` writes in C, without a C library."""
    path = folder / f"{compiler}.c"
    path.write_text(source(signatures, function or _function))
    # clang looks for its own headers only.
    subprocess.run(
        [*COMPILERS[compiler], level, *FLAGS, path, "-o", path.with_suffix(".o")],
        check=True,
        timeout=600,
    )
    linked = path.with_suffix(".elf")
    subprocess.run(
        ["aarch64-linux-gnu-ld", "-static", f"-Ttext={CODE:#x}", "-e", "0",
         path.with_suffix(".o"), "-o", linked],
        check=True,
        timeout=600,
    )  # fmt: skip
    return ELFFile(io.BytesIO(linked.read_bytes()))


# At a function's entry.
SP = STACK + STACK_SIZE // 2


class State:
    """A machine at a function's entry, the arguments as the model places them, else garbage."""

    def __init__(self, number: int, signature: Signature) -> None:
        random_ = random.Random(number)
        layout = place(signature.types)
        # The arguments, x0-x7, v0-v7, the bytes from SP, and copies by address.
        self.values = [_value(random_, type_) for type_ in signature.types]
        self.general = [random_.getrandbits(64) for _ in range(8)]
        self.vector = [random_.getrandbits(128) for _ in range(8)]
        self.stack = bytearray(random_.randbytes(layout.stack_size + 64))
        self.copies: dict[int, bytes] = {}
        free = COPIES
        for type_, value, placement in zip(signature.types, self.values, layout.placements):
            passed = value
            if placement.by_reference:
                self.copies[free] = value
                passed = free.to_bytes(8, "little")
                free += -(-type_.size // 16) * 16
            if placement.stack is not None:
                self.stack[placement.stack : placement.stack + len(passed)] = passed
            for position, register in enumerate(placement.general):
                word = passed[8 * position : 8 * position + 8]
                self.general[register] = _low(self.general[register], word)
            member = (
                type_.homogeneous[0] if isinstance(type_, Composite) and placement.vector else type_
            )
            for position, register in enumerate(placement.vector):
                size = member.size
                word = passed[size * position : size * position + size]
                self.vector[register] = _low(self.vector[register], word)


class Emulator:
    """An emulator that runs the functions of one linked file."""

    def __init__(self, elf: ELFFile) -> None:
        self._machine = _unicorn.Uc(_unicorn.UC_ARCH_ARM64, _unicorn.UC_MODE_ARM)
        end = 0
        segments = [s for s in elf.iter_segments() if s["p_type"] == "PT_LOAD"]
        for segment in segments:
            end = max(end, segment["p_vaddr"] + segment["p_memsz"])
        # The ELF and program headers may lie on the page below the code.
        self._machine.mem_map(0, _page(end))
        for segment in segments:
            self._machine.mem_write(segment["p_vaddr"], segment.data())
        self._machine.mem_map(STACK, STACK_SIZE)
        self._machine.mem_map(COPIES, COPIES_SIZE)
        # Floating point is off after reset: CPACR_EL1.FPEN.
        self._machine.reg_write(registers.UC_ARM64_REG_CPACR_EL1, 0b11 << 20)
        table = elf.get_section_by_name(".symtab")
        assert isinstance(table, SymbolTableSection)
        self._symbols = {symbol.name: symbol["st_value"] for symbol in table.iter_symbols()}

    def differences(self, index: int, signature: Signature) -> list[int]:
        """Return the arguments that function `index` does not find where the model puts them."""
        state = State(index, signature)
        seen = self.seen(f"f{index}", state)
        wrong = []
        for position, (type_, offset) in enumerate(zip(signature.types, _offsets(signature))):
            found = seen[offset : offset + type_.size]
            if any(found[i] != state.values[position][i] for i in type_.value_bytes):
                wrong.append(position)
        return wrong

    def seen(self, name: str, state: State) -> bytes:
        """Return what a function copies, called in that state."""
        for address, value in state.copies.items():
            self._machine.mem_write(address, value)
        self._run(name, SP, bytes(state.stack), state.general, state.vector)
        return bytes(self._machine.mem_read(self._symbols["seen"], 65536))

    def _run(self, name: str, sp: int, stack: bytes, general: list[int], vector: list[int]) -> None:
        machine = self._machine
        machine.mem_write(sp, stack)
        machine.mem_write(self._symbols["seen"], bytes(65536))
        for number in range(8):
            machine.reg_write(getattr(registers, f"UC_ARM64_REG_X{number}"), general[number])
            machine.reg_write(getattr(registers, f"UC_ARM64_REG_Q{number}"), vector[number])
        machine.reg_write(registers.UC_ARM64_REG_SP, sp)
        machine.reg_write(registers.UC_ARM64_REG_X30, RETURN)
        try:
            machine.emu_start(self._symbols[name], RETURN, count=STEPS_MAX)
        except _unicorn.UcError:
            # A parameter that is not where the function looks may be an address.
            machine.mem_write(self._symbols["seen"], bytes(65536))


def _page(size: int) -> int:
    return -(-size // 0x1000) * 0x1000


def _low(register: int, value: bytes) -> int:
    """Return a register whose low bytes are `value`, and whose others stay garbage."""
    bits = 8 * len(value)
    return register >> bits << bits | int.from_bytes(value, "little")


def _value(random_: random.Random, type_: CType) -> bytes:
    """Return bytes other than zero for a type; a bool is 1."""
    if type_.spelling == "bool":
        return b"\x01"
    return bytes(random_.randrange(1, 256) for _ in range(type_.size))


@functools.cache
def available(compiler: str) -> bool:
    return shutil.which(COMPILERS[compiler][0]) is not None
