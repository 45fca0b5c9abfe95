# SPDX-License-Identifier: GPL-2.0-only
"""
What a kernel's machine code shows of its functions' arguments, without any prototype.

A function reads an argument's register before it writes to it, and a stacked argument above the
SP that it was entered with; its caller stores a stacked argument at SP before the call.  That is
less than all, as a function need not read an argument, and code is followed only as far as its
branches say where they lead.
"""

from __future__ import annotations

import re
import struct
from array import array
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import capstone
from capstone import arm64_const as arm64

from harness.prototypes import kallsyms

# Documentation/arch/arm64/booting.rst: where the PE header is, and in it BaseOfCode.
_PE_AT, _BASE_OF_CODE = 60, 44
_BRANCH_LINK = 0b100101
# As many instructions before a call as may prepare it.
_BEFORE = 80
ARGUMENTS = 8
_SP = arm64.ARM64_REG_SP
_X = {getattr(arm64, f"ARM64_REG_X{n}"): n for n in range(29)} | {arm64.ARM64_REG_X29: 29}
_W = {getattr(arm64, f"ARM64_REG_W{n}"): n for n in range(30)}
_GENERAL = _X | _W
# Names of SBFM and UBFM.
_MOVES_BITS = frozenset(
    ["asr", "lsl", "lsr", "sbfiz", "sbfx", "sxtb", "sxth", "sxtw", "ubfiz", "ubfx", "uxtb", "uxth"]
)
_CONDITIONAL = re.compile(r"b\.|cbn?z|tbn?z")


@dataclass
class Evidence:
    """What a function, or its callers, do with arguments."""

    # Argument registers that it reads before it writes to them.
    registers: set[int] = field(default_factory=set)
    # Offsets from the SP at its entry that it reads, or whose address it takes.
    reads: set[int] = field(default_factory=set)
    # For each direct call, the slots at SP that were stored to since the call before.
    stores: list[set[int]] = field(default_factory=list)


class Code:
    """The functions of a raw Image whose names are unique."""

    def __init__(self, image: bytes) -> None:
        self._image = image
        symbols = kallsyms.read(image)
        assert symbols
        functions = [one for one in symbols if one.is_function]
        start = _start(image, symbols)
        ends = sorted({one.offset for one in functions})
        following = dict(zip(ends, [*ends[1:], ends[-1] + 4096]))
        by_name = defaultdict(list)
        for one in functions:
            by_name[one.name].append(one.offset)
        self.places: Mapping[str, tuple[int, int]] = {
            name: (start + at[0], start + following[at[0]])
            for name, at in by_name.items()
            if len(at) == 1
        }
        self._calls = _calls(image, start + ends[0], start + ends[-1])
        self._decoder = capstone.Cs(capstone.CS_ARCH_ARM64, capstone.CS_MODE_ARM)
        self._decoder.detail = True
        # Words of data among the code.
        self._decoder.skipdata = True

    def evidence(self, name: str) -> Evidence:
        """Return what the code of a function, and before calls of it, shows."""
        begin, end = self.places[name]
        found = Evidence()
        code = {one.address: one for one in self._decoder.disasm(self._image[begin:end], begin)}
        if code:
            _Function(code, begin, found).follow()
        for call in self._calls.get(begin, []):
            found.stores.append(self._stored(call))
        return found

    def _stored(self, call: int) -> set[int]:
        before = max(0, call - 4 * _BEFORE)
        slots: set[int] = set()
        for one in reversed(list(self._decoder.disasm(self._image[before:call], before))):
            if one.mnemonic in ("bl", "blr", "ret"):
                break
            slots |= _stores(one)
        return slots


def _start(image: bytes, symbols: list[kallsyms.ImageSymbol]) -> int:
    """Return where the Image has the symbol with offset 0."""
    if any(one.name == "_text" for one in symbols):
        return 0
    # Older kernels have only the symbols of their code.
    (pe,) = struct.unpack_from("<I", image, _PE_AT)
    (base,) = struct.unpack_from("<I", image, pe + _BASE_OF_CODE)
    return int(base)


def _calls(image: bytes, begin: int, end: int) -> dict[int, list[int]]:
    """Return where each address is called by BL."""
    found = defaultdict(list)
    for index, word in enumerate(array("I", image[begin : end // 4 * 4])):
        if word >> 26 == _BRANCH_LINK:
            distance = word & 0x3FFFFFF
            distance -= (distance & 1 << 25) << 1
            at = begin + 4 * index
            found[at + 4 * distance].append(at)
    return found


def _stores(one: capstone.CsInsn) -> set[int]:
    """Return the slots at SP that an instruction stores to."""
    if one.mnemonic not in ("str", "stp", "stur", "strb", "strh") or one.writeback:
        return set()
    *sources, target = one.operands
    if target.type != arm64.ARM64_OP_MEM or target.mem.base != _SP or target.mem.index:
        return set()
    size = 8 if any(op.reg in _X or op.reg == arm64.ARM64_REG_XZR for op in sources) else 4
    at = target.mem.disp
    return {(at + size * number) // 8 * 8 for number in range(len(sources))}


# An address, the registers that were written to, and how far SP and FP are below the entry's SP.
_State = tuple[int, frozenset[int], int, int | None]


class _Function:
    """Follows the code of one function from its entry, along each branch within it."""

    def __init__(self, code: Mapping[int, capstone.CsInsn], begin: int, found: Evidence) -> None:
        self._code, self._begin, self._found = code, begin, found

    def follow(self) -> None:
        # By address: the argument registers that were written to on every way there.
        known: dict[int, frozenset[int]] = {}
        # SP and FP as distances below the SP at the entry.
        left: list[_State] = [(self._begin, frozenset(), 0, None)]
        while left:
            at, written, depth, frame = left.pop()
            if at not in self._code or (at in known and known[at] <= written):
                continue
            known[at] = written & known.get(at, written)
            one = self._code[at]
            written, depth, frame = self._step(one, known[at], depth, frame)
            left += [(to, written, depth, frame) for to in _following(one)]

    def _step(
        self, one: capstone.CsInsn, written: frozenset[int], depth: int, frame: int | None
    ) -> tuple[frozenset[int], int, int | None]:
        if one.id == 0:
            return written, depth, frame
        reads, writes = one.regs_access()
        for register in reads:
            number = _GENERAL.get(register, ARGUMENTS)
            if number < ARGUMENTS and number not in written and not _only_set(one, register):
                self._found.registers.add(number)
        self._stack(one, depth, frame)
        if one.mnemonic in ("bl", "blr"):
            return written | set(range(ARGUMENTS)), depth, frame
        own = {number for r in writes if (number := _GENERAL.get(r, 99)) < ARGUMENTS}
        moved = _moved(one)
        if moved is not None:
            depth -= moved
        elif arm64.ARM64_REG_X29 in writes:
            frame = _frame(one, depth)
        return written | own, depth, frame

    def _stack(self, one: capstone.CsInsn, depth: int, frame: int | None) -> None:
        """Record what an instruction reads of the caller's frame."""
        for operand in one.operands:
            if operand.type != arm64.ARM64_OP_MEM or operand.mem.index or one.writeback:
                continue
            at = self._distance(operand.mem.base, depth, frame)
            if at is not None and one.mnemonic.startswith("ld"):
                size = 8 if one.operands[0].reg in _X else 4
                for number in range(len(one.operands) - 1):
                    self._read(at + operand.mem.disp + size * number)
        if one.mnemonic == "add" and one.operands[0].reg in _X and len(one.operands) == 3:
            base, last = one.operands[1], one.operands[2]
            at = self._distance(base.reg, depth, frame)
            if at is not None and last.type == arm64.ARM64_OP_IMM and _X[one.operands[0].reg] < 29:
                self._read(at + last.imm)

    def _read(self, at: int) -> None:
        if at >= 0:
            self._found.reads.add(at)

    def _distance(self, register: int, depth: int, frame: int | None) -> int | None:
        if register == _SP:
            return -depth
        if register == arm64.ARM64_REG_X29 and frame is not None:
            return -frame
        return None


def _only_set(one: capstone.CsInsn, register: int) -> bool:
    """Return whether an instruction sets a register that capstone has as one that it reads."""
    first, *others = one.operands
    return (
        one.mnemonic in _MOVES_BITS
        and first.reg == register
        and register not in [other.reg for other in others if other.type == arm64.ARM64_OP_REG]
    )


def _moved(one: capstone.CsInsn) -> int | None:
    """Return by how much an instruction moves SP up, None for one that does not."""
    operands = one.operands
    if one.mnemonic in ("add", "sub") and operands[0].reg == _SP and operands[1].reg == _SP:
        if operands[2].type != arm64.ARM64_OP_IMM:
            return None
        value = operands[2].imm << operands[2].shift.value
        return int(value if one.mnemonic == "add" else -value)
    if one.writeback:
        memory = next((op for op in operands if op.type == arm64.ARM64_OP_MEM), None)
        if memory is not None and memory.mem.base == _SP:
            after = operands[-1]
            return int(after.imm if after.type == arm64.ARM64_OP_IMM else memory.mem.disp)
    return None


def _frame(one: capstone.CsInsn, depth: int) -> int | None:
    """Return how far FP is below the entry's SP after an instruction that sets it."""
    if one.mnemonic == "mov" and one.operands[1].reg == _SP:
        return depth
    if one.mnemonic == "add" and one.operands[1].reg == _SP:
        return int(depth - one.operands[2].imm)
    return None


def _following(one: capstone.CsInsn) -> Iterator[int]:
    name = one.mnemonic
    # Behind a BRK of BUG() is another function's or another path's code.
    if name in ("ret", "br", "retaa", "eret", "udf", "brk"):
        return
    if name == "b":
        yield one.operands[0].imm
        return
    if _CONDITIONAL.match(name):
        yield one.operands[-1].imm
    yield one.address + one.size
