# SPDX-License-Identifier: GPL-2.0-only
"""
Follows a function's instructions, and finds the arguments of the calls that it makes.

An instruction that is not in ALLOWED makes all registers and all of memory unknown, and may
be a branch to anywhere.  A call keeps the registers that AAPCS64 has it keep, and memory only
where the function is known.  A call behind a branch may not happen, and a call that a branch
jumps back over may happen twice.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from capstone import arm64_const as arm64

from harness.modules.disassembly import Instruction, Memory, Register
from harness.modules.frame import WORD, Frame, Value, plus


@dataclass(frozen=True)
class Call:
    """A call in the disassembly and what its argument registers hold."""

    function: str
    x0: Value | None
    x1: Value | None
    w2: Value | None
    # Whether it happens exactly once: no branch can skip or repeat it.
    certain: bool


def _quiet(frame: Frame, instruction: Instruction) -> None:
    """Write nothing that is followed."""


def _sign(frame: Frame, instruction: Instruction) -> None:
    """Write x30, which is no operand."""
    frame.set(Register("x30", 64), None)


def _compute(frame: Frame, instruction: Instruction, value: Value | None = None) -> None:
    """Write the first operand, a register, and nothing else."""
    target = instruction.operands[0]
    if isinstance(target, Register):
        frame.set(target, value)
    else:
        frame.forget_all()


def _move(frame: Frame, instruction: Instruction) -> None:
    _compute(frame, instruction, frame.value(instruction.operands[1]))


def _add(frame: Frame, instruction: Instruction, sign: int = 1) -> None:
    _, one, other = map(frame.value, instruction.operands)
    number = sign * other[1] if other and not other[0] else None
    _compute(frame, instruction, plus(one, number))


def _load(frame: Frame, instruction: Instruction, *, whole: bool = True) -> None:
    """Load into each operand that is a register: from all of its bytes, or something else."""
    memory = instruction.operands[-1]
    # An address relative to the program counter is not followed.
    address = frame.address(memory) if isinstance(memory, Memory) else None
    targets = [operand for operand in instruction.operands if isinstance(operand, Register)]
    values = [
        frame.load(plus(address, target.bits // 8 * index)) if whole else None
        for index, target in enumerate(targets)
    ]
    if isinstance(memory, Memory):
        frame.move(memory)
    for target, value in zip(targets, values):
        frame.set(target, value)


def _store(frame: Frame, instruction: Instruction, size: int | None = None) -> None:
    """Store each operand that is a register: all of its bytes, or the lowest `size`."""
    memory = instruction.operands[-1]
    if not isinstance(memory, Memory):
        frame.forget_all()
        return
    address = frame.address(memory)
    sources = [operand for operand in instruction.operands if isinstance(operand, Register)]
    values = [frame.value(source) for source in sources]
    frame.move(memory)
    for index, (source, value) in enumerate(zip(sources, values)):
        each = size or source.bits // 8
        place = plus(address, each * index)
        if each == WORD:
            frame.store(place, value)
        else:
            frame.written(place, each)


Rule = Callable[[Frame, Instruction], None]


def _rules(rule: Rule, names: str) -> dict[int, Rule]:
    """Return a rule by the id of each instruction in a list of their names."""
    return {getattr(arm64, f"ARM64_INS_{name}"): rule for name in names.split()}


_BRANCHES = _rules(_quiet, "B CBZ CBNZ TBZ TBNZ")
_RETURNS = _rules(_quiet, "RET RETAA RETAB")
_CALLS = _rules(_quiet, "BL BLR BLRAA BLRAAZ BLRAB BLRABZ")
# The instructions that are followed, each as an emulator shows that it acts.
ALLOWED = {
    **_BRANCHES,
    **_RETURNS,
    **_rules(_quiet, "CMP CMN TST CCMP CCMN NOP BTI CSDB YIELD DMB DSB ISB SB PRFM PRFUM"),
    **_rules(_sign, "PACIASP PACIBSP PACIAZ PACIBZ AUTIASP AUTIBSP AUTIAZ AUTIBZ XPACLRI"),
    **_rules(
        _compute,
        """
        MOVK MVN ADDS SUBS NEG NEGS ADC ADCS SBC SBCS NGC NGCS AND ANDS BIC BICS ORR ORN EOR EON
        LSL LSR ASR ROR EXTR BFI BFM BFXIL UBFX UBFIZ SBFX SBFIZ UXTB UXTH SXTB SXTH SXTW
        CSEL CSINC CSINV CSNEG CSET CSETM CINC CINV CNEG MUL MADD MSUB MNEG SMULL UMULL SMULH UMULH
        SMADDL UMADDL SMSUBL UMSUBL SMNEGL UMNEGL SDIV UDIV CLZ CLS RBIT REV REV16 REV32
        ADR ADRP MRS XPACI XPACD
        """,
    ),
    **_rules(_move, "MOV"),
    **_rules(_add, "ADD"),
    **_rules(partial(_add, sign=-1), "SUB"),
    **_rules(_load, "LDR LDUR LDP"),
    **_rules(partial(_load, whole=False), "LDRB LDRH LDRSB LDRSH LDRSW LDPSW"),
    **_rules(partial(_load, whole=False), "LDURB LDURH LDURSB LDURSH LDURSW"),
    **_rules(_store, "STR STUR STP"),
    **_rules(partial(_store, size=1), "STRB STURB"),
    **_rules(partial(_store, size=2), "STRH STURH"),
}


def follow(frame: Frame, instruction: Instruction) -> None:
    """Record in a frame what an instruction changes; a call may change what it has not to keep."""
    if instruction.id in _CALLS or instruction.function:
        _call(frame, instruction.function or "")
    elif rule := ALLOWED.get(instruction.id):
        rule(frame, instruction)
    else:
        frame.forget_all()


def _call(frame: Frame, function: str) -> None:
    x0, x1, x2 = (frame.registers.get(f"x{number}") for number in range(3))
    if function == "probe_flip":
        # A copy that came by reference lies neither in this frame nor among the arguments.
        if x0 is None or x0[0] == "sp":
            frame.written(x0, _constant(x1))
    elif function == "probe_flip_stack":
        frame.written(("sp", 0), _constant(x0))
    elif re.fullmatch(r"(?:__(?:hw)?asan_)?mem(?:cpy|set|move)", function):
        frame.written(x0, _constant(x2))
    elif function not in _HARMLESS and not _CHECKS.match(function):
        frame.forget_memory()
    frame.clobber()


def _constant(value: Value | None) -> int | None:
    return value[1] if value and not value[0] else None


def _may_jump(instruction: Instruction) -> bool:
    """Return whether the next instruction to run may be another than the one behind it."""
    if instruction.id in _CALLS:
        return False
    return instruction.id in _BRANCHES | _RETURNS or instruction.id not in ALLOWED


def _may_go_back(instruction: Instruction, to: Instruction) -> bool:
    """Return whether an instruction may branch to another, or to one before that."""
    if instruction.function or instruction.id in _CALLS:
        return False
    if instruction.id in _BRANCHES:
        return instruction.target is None or instruction.target <= to.address
    return instruction.id not in ALLOWED


def calls(instructions: Sequence[Instruction]) -> Iterator[Call]:
    """Yield, in order, each call that a function makes to a function of another file."""
    frame = Frame()
    jumped = False
    for number, instruction in enumerate(instructions):
        jumped = jumped or _may_jump(instruction)
        if instruction.function:
            again = any(_may_go_back(later, instruction) for later in instructions[number + 1 :])
            x0, x1, w2 = (frame.registers.get(f"x{index}") for index in range(3))
            yield Call(instruction.function, x0, x1, w2, not jumped and not again)
        follow(frame, instruction)


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
