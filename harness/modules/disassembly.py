# SPDX-License-Identifier: GPL-2.0-only
"""
Follows a function's disassembly, and finds the arguments of the calls that it makes.

A value is unknown unless it is certain.  An instruction that is not followed makes every
register that it names unknown, and a store to an unknown address, or a call of an unknown
function, makes all of memory unknown.  A call behind a branch may not happen, and a call
that a branch jumps back over may happen twice.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness.host import tool

# A value that an instruction computes: a base and an offset in bytes.  Bases are
# "sp" (SP at the handler's entry), "x0".. (a register at entry), "slot:N" (what
# lies N bytes above SP at entry), "" for a constant.
Value = tuple[str, int]


@dataclass(frozen=True)
class Call:
    """A call in the disassembly and what its argument registers hold."""

    function: str
    x0: Value | None
    x1: Value | None
    w2: Value | None
    # Whether it happens exactly once: no branch can skip or repeat it.
    certain: bool


def _split(operands: str) -> list[str]:
    return re.findall(r"\[[^\]]*\]!?|[^,\s][^,]*", operands)


_LINE = re.compile(r"^\s*([0-9a-f]+):\t[0-9a-f]{8} ?\t(\S+)\s*([^/<]*)")
_RELOCATION = re.compile(r"^\s*[0-9a-f]+: (R_AARCH64_\w+)\s+(\S+)")
_CALL_RELOCATIONS = ("R_AARCH64_CALL26", "R_AARCH64_JUMP26")


@dataclass
class _Instruction:
    address: int
    mnemonic: str
    operands: list[str]
    # The function that a call names, or None where there is no relocation.
    function: str | None = None
    # Whether the linker fills in one of its numbers.
    relocated: bool = False

    def may_go_back_to(self, other: _Instruction) -> bool:
        """Return whether it may branch to `other`, or to an instruction before it."""
        if not _BRANCHES.match(self.mnemonic) or self.mnemonic.startswith("ret") or self.function:
            return False
        target = re.fullmatch(r"[0-9a-f]+", self.operands[-1].strip())
        return target is None or int(target[0], 16) <= other.address


def _instructions(disassembly: Sequence[str]) -> list[_Instruction]:
    found: list[_Instruction] = []
    for line in disassembly:
        if match := _LINE.match(line):
            found.append(_Instruction(int(match[1], 16), match[2], _split(match[3].strip())))
        elif (relocation := _RELOCATION.match(line)) and found:
            if relocation[1] in _CALL_RELOCATIONS:
                found[-1].function = relocation[2]
            else:
                found[-1].relocated = True
    return found


WORD = 8
# Registers that a call may change: all but x19 to x28, x29 and SP.
_CLOBBERED = (*range(19), 30)


@dataclass
class _Frame:
    """What is known of registers and of the stack, by offset from SP at entry."""

    registers: dict[str, Value] = field(
        default_factory=lambda: {
            "sp": ("sp", 0),
            **{f"x{number}": (f"x{number}", 0) for number in range(8)},
        }
    )
    # Words that were stored; None where some of a word's bytes are not known.
    memory: dict[int, Value | None] = field(default_factory=dict)
    # Whether words above SP that have no entry in `memory` are still as they were at entry.
    area_kept: bool = True

    def set(self, register: str, value: Value | None) -> None:
        self.registers.pop(_wide(register), None)
        if register[0] == "w" and value:
            # The upper half becomes zero: an address does not survive it.
            value = None if value[0] else ("", value[1] % (1 << 32))
        if value:
            self.registers[_wide(register)] = value

    def get(self, register: str) -> Value | None:
        if register in ("xzr", "wzr"):
            return "", 0
        return self.registers.get(_wide(register))

    def lose(self, registers: Sequence[str], *, memory: bool) -> None:
        """Forget what an unfollowed instruction may change: these registers, or all if none."""
        for register in registers or list(self.registers):
            self.set(register, None)
        if memory:
            self.forget_all()

    def forget(self, start: int, size: int) -> None:
        """Mark the words that overlap these bytes as unknown."""
        self.memory.update(dict.fromkeys(range(start - WORD + 1, start + size)))

    def forget_all(self) -> None:
        self.memory.clear()
        self.area_kept = False

    def written(self, address: Value | None, size: int | None) -> None:
        """Forget what a write of unknown content may have changed."""
        if address and address[0] == "sp" and size is not None:
            self.forget(address[1], size)
        else:
            self.forget_all()

    def store(self, address: Value, value: Value | None) -> None:
        """Record a store of one word."""
        self.written(address, WORD)
        if address[0] == "sp":
            self.memory[address[1]] = value

    def load(self, address: Value | None) -> Value | None:
        """Return the word at an address, or None where it is unknown."""
        if address is None or address[0] != "sp":
            return None
        if address[1] in self.memory:
            return self.memory[address[1]]
        return (f"slot:{address[1]}", 0) if self.area_kept and address[1] >= 0 else None


def _wide(register: str) -> str:
    return "sp" if register == "wsp" else re.sub("^w", "x", register)


def _number(text: str) -> int | None:
    match = re.fullmatch(r"#(-?(?:0x)?[0-9a-f]+)", text)
    return int(match[1], 0) if match else None


def _named(operands: Iterable[str]) -> Iterator[str]:
    """Yield the general registers that operands name."""
    for operand in operands:
        yield from re.findall(r"\b(?:[xw]\d+|w?sp)\b", operand)


def _plus(value: Value | None, offset: int) -> Value | None:
    return (value[0], value[1] + offset) if value else None


def _address_of(frame: _Frame, operands: Sequence[str]) -> Value | None:
    """
    Return the address of a load or store, or None where it is unknown.

    Follows a base register that is written back to before or after the access.
    """
    match = re.fullmatch(r"\[(\w+)(?:, (#\S+?))?\](!?)", operands[0])
    if not match or len(operands) > 2:
        # With an offset in a register; where that is written back, the result is not followed.
        for register in _named(operands) if len(operands) > 1 or operands[0][-1] == "!" else ():
            frame.set(register, None)
        return None
    base = frame.get(match[1])
    before = _number(match[2]) if match[2] else 0
    after = _number(operands[1]) if len(operands) > 1 else 0
    if before is None or after is None:
        frame.set(match[1], None)
        return None
    if match[3] or after:
        frame.set(match[1], _plus(base, before + after))
    return _plus(base, before)


# Instructions that write nothing that is followed.
_QUIET = """
    cmp cmn tst ccmp ccmn nop hint bti csdb dmb dsb isb sb yield prfm prfum msr clrex brk
"""
# Instructions that write their first operand, a register, and nothing else.
_PURE = """
    mov movz movk movn mvn add adds sub subs neg negs adc adcs sbc sbcs ngc ngcs and ands bic bics
    orr orn eor eon lsl lslv lsr lsrv asr asrv ror rorv extr bfi bfm bfxil bfc ubfx ubfm ubfiz sbfx
    sbfm sbfiz uxtb uxth sxtb sxth sxtw csel csinc csinv csneg cset csetm cinc cinv cneg mul madd
    msub mneg smull umull smulh umulh smaddl umaddl smsubl umsubl smnegl umnegl sdiv udiv clz cls
    rbit rev rev16 rev32 adr adrp mrs pacia pacib autia autib paciza pacizb autiza autizb xpaci
"""
_KINDS = dict.fromkeys(_QUIET.split(), "quiet") | dict.fromkeys(_PURE.split(), "pure")
_SIGNS = frozenset(["paciasp", "autiasp", "pacibsp", "autibsp", "xpaclri"])
_LOADS = re.compile(r"ld(?:u?r|p)(?:s?[bhw])?$")
_STORES = re.compile(r"st(?:u?r|p)[bh]?$")
_SIZES = {"b": 1, "h": 2, "s": 4, "w": 4, "d": 8, "x": WORD, "q": 16}
_BRANCHES = re.compile(r"(b|b\..+|bc\..+|br.*|cbn?z|tbn?z|ret.*|eret.*)$")


def _step(frame: _Frame, instruction: _Instruction) -> None:
    """Follow one instruction that is no call."""
    mnemonic, operands = instruction.mnemonic, instruction.operands
    kind = _KINDS.get(mnemonic)
    if kind == "quiet" or _BRANCHES.match(mnemonic):
        return
    if kind == "pure":
        known = not instruction.relocated
        frame.set(operands[0], _computed(frame, mnemonic, operands) if known else None)
    elif mnemonic in _SIGNS:
        frame.set("x30", None)
    elif _LOADS.match(mnemonic) and not instruction.relocated:
        _load(frame, mnemonic, operands)
    elif _STORES.match(mnemonic) and not instruction.relocated:
        _store(frame, mnemonic, operands)
    else:
        frame.lose(list(_named(operands)), memory=not _LOADS.match(mnemonic))


def _computed(frame: _Frame, mnemonic: str, operands: Sequence[str]) -> Value | None:
    if mnemonic == "mov" and len(operands) == 2:
        number = _number(operands[1])
        return ("", number) if number is not None else _source(frame, operands[1])
    if mnemonic in ("add", "sub") and len(operands) == 3:
        source, number = _source(frame, operands[1]), _number(operands[2])
        if number is None:
            added = _source(frame, operands[2])
            number = added[1] if added and added[0] == "" else None
        if number is not None:
            return _plus(source, number if mnemonic == "add" else -number)
    return None


def _source(frame: _Frame, register: str) -> Value | None:
    """Return the value of a register, or None for the lower half of an address."""
    value = frame.get(register)
    return None if value and value[0] and register[0] == "w" else value


def _store(frame: _Frame, mnemonic: str, operands: Sequence[str]) -> None:
    count = 2 if mnemonic == "stp" else 1
    size = {"b": 1, "h": 2}.get(mnemonic[-1], _SIZES.get(operands[0][0], WORD))
    values = [frame.get(register) for register in operands[:count]]
    address = _address_of(frame, operands[count:])
    for index, value in enumerate(values):
        place = _plus(address, size * index)
        if place and operands[index][0] == "x":
            frame.store(place, value)
        else:
            frame.written(place, size)


def _load(frame: _Frame, mnemonic: str, operands: Sequence[str]) -> None:
    count = 2 if mnemonic.startswith("ldp") else 1
    whole = mnemonic in ("ldr", "ldur", "ldp")
    # An address relative to the program counter is not followed.
    based = operands[count].startswith("[")
    address = _address_of(frame, operands[count:]) if based else None
    for index, register in enumerate(operands[:count]):
        place = _plus(address, WORD * index)
        if register[0] in "xw":
            frame.set(register, frame.load(place) if whole and register[0] == "x" else None)


def _called(frame: _Frame, function: str) -> None:
    """Follow the effects of a call."""
    x0, x1, x2 = (frame.get(f"x{number}") for number in range(3))
    if function == "probe_flip":
        # A copy that came by reference lies neither in this frame nor among the arguments.
        if x0 is None or x0[0] == "sp":
            frame.written(x0, _constant(x1))
    elif function == "probe_flip_stack":
        frame.written(("sp", 0), _constant(x0))
    elif re.fullmatch(r"(?:__(?:hw)?asan_)?mem(?:cpy|set|move)", function):
        frame.written(x0, _constant(x2))
    elif function not in _HARMLESS and not _CHECKS.match(function):
        frame.forget_all()
    for number in _CLOBBERED:
        frame.set(f"x{number}", None)


def _constant(value: Value | None) -> int | None:
    return value[1] if value and not value[0] else None


def calls(disassembly: Sequence[str]) -> Iterator[Call]:
    """Yield, in order, each call that a function makes to a function of another file."""
    instructions = _instructions(disassembly)
    frame = _Frame()
    jumped = False
    for number, instruction in enumerate(instructions):
        branch = bool(_BRANCHES.match(instruction.mnemonic))
        jumped = jumped or branch
        if instruction.mnemonic.startswith("bl") or (branch and instruction.function):
            if instruction.function:
                again = any(
                    later.may_go_back_to(instruction) for later in instructions[number + 1 :]
                )
                x0, x1, w2 = (frame.get(f"x{index}") for index in range(3))
                yield Call(instruction.function, x0, x1, w2, not jumped and not again)
            _called(frame, instruction.function or "")
        else:
            _step(frame, instruction)


def disassemble(path: Path, objdump: str) -> dict[str, list[str]]:
    """Return the disassembled lines of each function of an object file, by name."""
    output = tool.check([objdump, "--disassemble", "--reloc", path])
    functions: dict[str, list[str]] = {}
    current: list[str] = []
    for line in output.splitlines():
        if match := re.match(r"^[0-9a-f]+ <([^>]+)>:$", line):
            current = functions.setdefault(match[1], [])
        else:
            current.append(line)
    return functions


# Functions that write neither to the handler's own frame nor to an argument on the stack, and
# those whose calls a compiler adds for a tracer, a sanitizer or the stack protector.
_HARMLESS = frozenset(
    [
        "probe_handler_enter",
        "probe_handler_leave",
        "probe_look",
        "probe_dive",
        "probe_consume",
        "probe_object_write",
        "probe_object_look",
        "probe_call_nested",
        "_mcount",
        "__fentry__",
        "__stack_chk_fail",
    ]
)
_CHECKS = re.compile(r"__(?:(?:hw)?asan_(?:load|store)|tsan_(?:read|write|func)|sanitizer_cov_)")
