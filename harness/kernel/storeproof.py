# SPDX-License-Identifier: GPL-2.0-only
"""
Proves from a handler's disassembly that each of its stores is there.

A compiler may drop a store to a parameter that nobody reads, or make it to a
copy of the parameter in the handler's own frame; an "intact" argument would then
mean nothing.  Handlers store through calls that cannot be dropped, so it is
enough to follow the few instructions that compute each call's arguments: x0
must hold SP at the handler's entry plus the argument's offset (rule C.15 or
C.17), or the by-reference address that came in a register or a slot, x1 the size
and w2 the bits to invert.  Where x0 points into the handler's own frame instead,
the compiler keeps a copy of the stacked argument there, as clang does of structs;
what is assigned to it reaches nobody, and that is what is predicted.  A value
that an instruction we do not follow may have changed counts as unknown, and a
call behind a branch as one that may not happen.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from harness import tool
from harness.errors import UnprovedStore
from harness.kernel.casegen import symbol
from harness.model.case import Agent, Case

# A value that an instruction computes: a base and an offset in bytes.  Bases are
# "sp" (SP at the handler's entry), "x0".. (a register at entry), "slot:N" (what
# lies N bytes above SP at entry), "" for a constant.
Value = tuple[str, int]


@dataclass(frozen=True)
class Store:
    """A call of one of the storing functions and what it must be passed."""

    function: str
    # Expected x0; None for "somewhere in the handler's own frame".
    x0: Value | None
    # Expected x1 and w2 (its low byte), constants, or None where not passed.
    x1: int | None = None
    w2: int | None = None
    # The stacked argument that is assigned to, if it is one.
    stacked: int | None = None


@dataclass(frozen=True)
class Call:
    """A call in the disassembly and what its argument registers hold."""

    function: str
    x0: Value | None
    x1: Value | None
    w2: Value | None
    # Nothing before it can jump past it.
    certain: bool


def expected_stores(case: Case) -> list[Store]:
    """The stores of a handler, in order, from the model's placement."""
    stores = []
    for index in case.handler.assign:
        size = case.arguments[index].type.size
        mask = case.arguments[index].flip_mask
        address = _address(case, index)
        stacked = index if address and address[0] == "sp" else None
        stores.append(Store("probe_flip", address, size, mask, stacked))
    if case.handler.overwrite:
        stores.append(Store("probe_flip_stack", ("", case.handler.overwrite)))
    if consume := case.handler.consume:
        x0 = _address(case, consume.argument)
        stores.append(Store("probe_consume", x0, consume.words))
    if case.object and case.object.writer:
        stores.append(Store("probe_object_write", _agent(case.object.writer)))
    if case.nested:
        stores.append(Store("probe_call_nested", _agent(case.nested)))
    return stores


def _agent(who: Agent) -> Value:
    """As enum probe_agent counts them."""
    return "", list(Agent).index(who)


def _address(case: Case, index: int) -> Value | None:
    placement = case.layout.placements[index]
    if placement.by_reference:
        if placement.stack is None:
            return f"x{placement.general[0]}", 0
        return f"slot:{placement.stack}", 0
    return None if placement.stack is None else ("sp", placement.stack)


@dataclass
class _Frame:
    """What is known of registers and of the handler's frame."""

    registers: dict[str, Value] = field(
        default_factory=lambda: {
            "sp": ("sp", 0),
            **{f"x{number}": (f"x{number}", 0) for number in range(8)},
        }
    )
    memory: dict[int, Value] = field(default_factory=dict)

    def set(self, register: str, value: Value | None) -> None:
        wide = "x" + register[1:] if register[0] == "w" else register
        if value is None:
            self.registers.pop(wide, None)
        else:
            self.registers[wide] = value

    def get(self, register: str) -> Value | None:
        if register in ("xzr", "wzr"):
            return "", 0
        wide = "x" + register[1:] if register[0] == "w" else register
        return self.registers.get(wide)

    def load(self, address: Value | None) -> Value | None:
        if address is None or address[0] != "sp":
            return None
        if address[1] in self.memory:
            return self.memory[address[1]]
        return (f"slot:{address[1]}", 0) if address[1] >= 0 else None


def _number(text: str) -> int | None:
    match = re.fullmatch(r"#(-?(?:0x)?[0-9a-f]+)", text)
    return int(match[1], 0) if match else None


def _split(operands: str) -> list[str]:
    return re.findall(r"\[[^\]]*\]!?|[^,\s][^,]*", operands)


def _address_of(frame: _Frame, operands: Sequence[str]) -> Value | None:
    """The address of a load or store, with SP's update before or after it."""
    match = re.fullmatch(r"\[(\w+)(?:, (#\S+?))?\](!?)", operands[0])
    if not match:
        return None
    base = frame.get(match[1])
    if base is None:
        return None
    before = _number(match[2]) or 0 if match[2] else 0
    after = (_number(operands[1]) or 0) if len(operands) > 1 else 0
    if match[3] or after:
        frame.set(match[1], (base[0], base[1] + before + after))
    return base[0], base[1] + before


_BRANCHES = re.compile(r"(b|b\..+|br|cbn?z|tbn?z|ret)$")
_WRITES_NO_REGISTER = frozenset(["bl", "blr", "cmp", "cmn", "tst", "ccmp", "hint", "bti", "dmb"])


def _step(frame: _Frame, mnemonic: str, operands: Sequence[str]) -> None:
    """Follow one instruction; what it writes is unknown unless we know better."""
    if mnemonic in ("str", "stp"):
        count = 2 if mnemonic == "stp" else 1
        address = _address_of(frame, operands[count:])
        if address and address[0] == "sp":
            for index in range(count):
                value = frame.get(operands[index])
                if value:
                    frame.memory[address[1] + 8 * index] = value
                else:
                    frame.memory.pop(address[1] + 8 * index, None)
        return
    if mnemonic in ("ldr", "ldp"):
        count = 2 if mnemonic == "ldp" else 1
        address = _address_of(frame, operands[count:])
        for index in range(count):
            place = (address[0], address[1] + 8 * index) if address else None
            frame.set(operands[index], frame.load(place))
        return
    if mnemonic.startswith("st"):
        # Narrow or through another addressing mode: it may hit what we know.
        frame.memory.clear()
        return
    if not operands or mnemonic in _WRITES_NO_REGISTER:
        return
    result: Value | None = None
    if mnemonic == "mov":
        number = _number(operands[1])
        result = ("", number) if number is not None else frame.get(operands[1])
    elif mnemonic in ("add", "sub") and len(operands) == 3:
        source, number = frame.get(operands[1]), _number(operands[2])
        if number is None:
            added = frame.get(operands[2])
            number = added[1] if added and added[0] == "" else None
        if source and number is not None:
            result = source[0], source[1] + (number if mnemonic == "add" else -number)
    frame.set(operands[0], result)


_LINE = re.compile(r"^\s*[0-9a-f]+:\t[0-9a-f]{8} ?\t(\S+)\s*([^/<]*)")
_RELOCATION = re.compile(r"^\s*[0-9a-f]+: R_AARCH64_(?:CALL|JUMP)26\s+(\w+)")


def calls(disassembly: Sequence[str]) -> Iterator[Call]:
    """Each call in one function, in order."""
    frame = _Frame()
    certain = True
    for line in disassembly:
        if relocation := _RELOCATION.match(line):
            x0, x1, w2 = (frame.get(f"x{number}") for number in range(3))
            yield Call(relocation[1], x0, x1, w2, certain)
            for number in range(19):
                frame.set(f"x{number}", None)
        elif match := _LINE.match(line):
            certain = certain and not _BRANCHES.match(match[1])
            _step(frame, match[1], _split(match[2].strip()))


def disassemble(path: Path, objdump: str) -> dict[str, list[str]]:
    """The lines of each function of an object file."""
    output = tool.check([objdump, "--disassemble", "--reloc", path])
    functions: dict[str, list[str]] = {}
    current: list[str] = []
    for line in output.splitlines():
        if match := re.match(r"^[0-9a-f]+ <([^>]+)>:$", line):
            current = functions.setdefault(match[1], [])
        else:
            current.append(line)
    return functions


_FUNCTIONS = frozenset(
    [
        "probe_flip",
        "probe_flip_stack",
        "probe_consume",
        "probe_object_write",
        "probe_call_nested",
    ]
)


def prove(cases: Sequence[Case], functions: dict[str, list[str]]) -> dict[str, list[int]]:
    """
    By case, the stacked arguments of which the handler assigns to a copy of its own.

    Raises UnprovedStore for the first handler in which a store is not proved.
    """
    kept: dict[str, list[int]] = {}
    for case in cases:
        name = symbol(case, "handler")
        lines = functions.get(name, [])
        stores = expected_stores(case)
        found = [call for call in calls(lines) if call.function in _FUNCTIONS]
        if len(found) != len(stores):
            raise UnprovedStore(
                case.name,
                f"its handler has {len(found)} stores in the"
                f" disassembly, {len(stores)} were planned.",
                "The compiler dropped or changed one; no verdict of this case would hold.",
            )
        for store, call in zip(stores, found):
            if not _matches(store, call):
                if store.stacked is not None and _matches(replace(store, x0=None), call):
                    kept.setdefault(case.name, []).append(store.stacked)
                    continue
                raise UnprovedStore(
                    case.name,
                    f"{store.function} is not proved to get"
                    f" {store.x0 or 'a local'}, {store.x1} and {store.w2}; it gets {call}.",
                    "The compiler stores elsewhere; no verdict of this case would hold.",
                )
    return kept


def _matches(store: Store, call: Call) -> bool:
    if call.function != store.function or not call.certain:
        return False
    if store.x1 is not None and call.x1 != ("", store.x1):
        return False
    if store.w2 is not None and (call.w2 is None or call.w2[0] or call.w2[1] & 0xFF != store.w2):
        return False
    if store.x0 is None:
        return call.x0 is not None and call.x0[0] == "sp" and call.x0[1] < 0
    return call.x0 == store.x0
