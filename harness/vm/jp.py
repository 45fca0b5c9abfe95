# SPDX-License-Identifier: GPL-2.0-only
"""
GDB commands for a session at the hit of a jprobe.

GDB sources this file, which runs in GDB's own Python.  All that it knows of the harness
is in the play's JSON file (harness/inspect/debug.py writes it).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, TypedDict

import gdb

GENERAL_REGISTERS = 8
WORD = 8
INSTRUCTION = 4
SHOWN = 16
# The number of sp in a struct pt_regs, behind x0-x30.
SAVED_SP = 31


class Argument(TypedDict):
    """One argument, and where AAPCS64 puts it."""

    index: int
    type: str
    size: int
    # Numbers of x registers; offset from SP, or null; the address of a copy is there.
    registers: list[int]
    stack: int | None
    by_reference: bool
    # What the caller passes, in hexadecimal, and which of its bytes carry value;
    # empty where only the guest knows it.
    passed: str
    value: list[int]


class Play(TypedDict):
    """The description of a play."""

    case: str
    variant: str
    shows: str
    # The address of the probed function.
    entry: int
    # Where the module has found that a hit of a function of the kernel's own counts, or null.
    hit: int | None
    # Bytes of stacked arguments.
    area: int
    # The size of a stack in bytes, to which it is aligned.
    stack_size: int
    arguments: list[Argument]
    # The address of the port's struct module, and the offset of the port's per-CPU state.
    port: int | None
    state: int


class Hit:
    """The stack and the registers at the call of the probed function."""

    def __init__(self, play: Play) -> None:
        if play["hit"] is None:
            self.sp = _register("sp")
            self.registers = [_register(f"x{number}") for number in range(GENERAL_REGISTERS)]
        else:
            # The first argument there is a struct pt_regs, which begins as user_pt_regs does.
            saved = _memory(_register("x0"), (SAVED_SP + 1) * WORD)
            words = [saved[at : at + WORD] for at in range(0, len(saved), WORD)]
            self.registers = [int.from_bytes(word, "little") for word in words]
            self.sp = self.registers[SAVED_SP]
        size = play["stack_size"]
        self.stack = _memory(self.sp, (self.sp // size + 1) * size - self.sp)
        self.copies = {
            argument["index"]: _memory(address, argument["size"])
            for argument in play["arguments"]
            if (address := self.address(argument)) and argument["by_reference"]
        }

    def address(self, argument: Argument) -> int | None:
        """Return the address of an argument's bytes, or None where they are in registers."""
        if not argument["by_reference"]:
            return None if argument["stack"] is None else self.sp + argument["stack"]
        if argument["stack"] is None:
            return self.registers[argument["registers"][0]]
        at = argument["stack"]
        return int.from_bytes(self.stack[at : at + WORD], "little")

    def content(self, argument: Argument) -> bytes:
        """Return an argument's bytes at the hit."""
        if argument["by_reference"]:
            return self.copies[argument["index"]]
        if argument["stack"] is not None:
            return self.stack[argument["stack"] : argument["stack"] + argument["size"]]
        words = (self.registers[number] for number in argument["registers"])
        return b"".join(word.to_bytes(WORD, "little") for word in words)[: argument["size"]]


class Session:
    """The play that is debugged, and its hit once it has come."""

    def __init__(self) -> None:
        self._play: Play | None = None
        self._hit: Hit | None = None

    def load(self, path: str) -> None:
        """Read the play's description, and set breakpoints for its hit."""
        with open(path) as file:
            self._play = json.load(file)
        self._hit = None
        hit = self.play["hit"]
        Entry(self.play["entry"] if hit is None else hit)
        Passed(self.play["entry"] + INSTRUCTION)

    def take_hit(self) -> None:
        """Record the stack and the registers as they are now."""
        self._hit = Hit(self.play)

    def was_hit_at(self, sp: int) -> bool:
        """Return whether the hit has come, with that SP."""
        return self._hit is not None and self._hit.sp == sp

    @property
    def name(self) -> str:
        return f"{self.play['case']} under {self.play['variant']}"

    @property
    def play(self) -> Play:
        if self._play is None:
            raise gdb.GdbError("There is no play: jp-load FILE.")
        return self._play

    @property
    def hit(self) -> Hit:
        if self._hit is None:
            raise gdb.GdbError("The probed function was not hit yet: continue.")
        return self._hit


SESSION = Session()


class Entry(gdb.Breakpoint):
    """
    Stops at the probed function's entry, before the kprobe that lies there.

    It is temporary, because GDB takes the kprobe's own brk for a breakpoint that is part of the
    program, and would skip it to go on from a breakpoint of ours.
    """

    def __init__(self, address: int) -> None:
        super().__init__(
            f"*{address:#x}", gdb.BP_HARDWARE_BREAKPOINT, internal=True, temporary=True
        )

    def stop(self) -> bool:
        SESSION.take_hit()
        print(f"{SESSION.name}: the probed function is called.")
        return True


class Passed(gdb.Breakpoint):
    """Stops at the function's second instruction, which runs after the handler."""

    def __init__(self, address: int) -> None:
        super().__init__(f"*{address:#x}", gdb.BP_HARDWARE_BREAKPOINT, internal=True)

    def stop(self) -> bool:
        # Others call a function of the kernel's own, too.
        if SESSION.play["hit"] is not None and not SESSION.was_hit_at(_register("sp")):
            return False
        print(f"{SESSION.name}: the probed function runs, after its handler.")
        return True


def _register(name: str) -> int:
    return int(gdb.parse_and_eval(f"${name}").cast(gdb.lookup_type("unsigned long")))


def _memory(address: int, size: int) -> bytes:
    return bytes(gdb.selected_inferior().read_memory(address, size)) if size else b""


def _marked(data: bytes, reference: bytes) -> str:
    """Return bytes in hexadecimal, with brackets around a byte that differs."""
    pairs = zip(data, reference or data)
    return "".join(f" {octet:02x} " if octet == was else f"[{octet:02x}]" for octet, was in pairs)


def _rows(head: str, data: bytes, reference: bytes) -> None:
    """Print bytes, some on each line, behind a heading."""
    for start in range(0, len(data), SHOWN):
        rest = slice(start, start + SHOWN)
        print(f"{head if start == 0 else '':14}{_marked(data[rest], reference[rest])}")


def _where(argument: Argument) -> str:
    numbers = [f"x{number}" for number in argument["registers"]]
    place = ", ".join(numbers) if numbers else f"SP + {argument['stack']}"
    return f"copy at [{place}]" if argument["by_reference"] else place


def _ranges(offsets: list[int]) -> list[str]:
    found: list[list[int]] = []
    for offset in offsets:
        if found and found[-1][1] == offset - 1:
            found[-1][1] = offset
        else:
            found.append([offset, offset])
    return [str(a) if a == b else f"{a} to {b}" for a, b in found]


def _owner(play: Play, hit: Hit, offset: int) -> str:
    """Return what the stack's byte at an offset from SP belongs to, in words."""
    for argument in play["arguments"]:
        start = argument["stack"]
        size = WORD if argument["by_reference"] else argument["size"]
        if start is not None and start <= offset < start + size:
            return f"argument {argument['index']} ({argument['type']}), byte {offset - start}"
    for argument in play["arguments"]:
        address = hit.address(argument) if argument["by_reference"] else None
        if address is not None and 0 <= hit.sp + offset - address < argument["size"]:
            return f"argument {argument['index']}'s copy, byte {hit.sp + offset - address}"
    return "the argument area's padding" if offset < play["area"] else "the caller's own"


class Command(gdb.Command):
    """A user command, whose docstring is its help text in GDB."""

    def __init__(self, name: str) -> None:
        super().__init__(name, gdb.COMMAND_DATA)


class Load(Command):
    """jp-load FILE: take the description of a play, and stop at its hit."""

    def invoke(self, argument: str, from_tty: bool) -> None:
        SESSION.load(argument.strip())


class Args(Command):
    """jp-args: each argument, where AAPCS64 puts it, as it was passed and as it is."""

    def invoke(self, argument: str, from_tty: bool) -> None:
        play, hit = SESSION.play, SESSION.hit
        print(f"{play['case']}: {play['shows']}")
        print(f"SP at the hit {hit.sp:#x}, {play['area']} bytes of stacked arguments")
        for one in play["arguments"]:
            passed, now = bytes.fromhex(one["passed"]), _now(hit, one)
            changed = [i for i in one["value"] if passed and now[i] != passed[i]]
            state = f"changed: byte {', '.join(_ranges(changed))}" if changed else "as passed"
            if not passed:
                state = "made by the guest"
            kind = f"{one['type']}, {one['size']} bytes"
            print(f"argument {one['index']}: {kind}, {_where(one)}: {state}")
            _rows("", now, bytes(p if i in one["value"] else now[i] for i, p in enumerate(passed)))


def _now(hit: Hit, argument: Argument) -> bytes:
    """Return an argument's present bytes, for one in registers those at the hit."""
    address = hit.address(argument)
    return hit.content(argument) if address is None else _memory(address, argument["size"])


class Diff(Command):
    """jp-diff: the caller's stack and by-reference copies, at the hit against now."""

    def invoke(self, argument: str, from_tty: bool) -> None:
        play, hit = SESSION.play, SESSION.hit
        now = _memory(hit.sp, len(hit.stack))
        changed = [i for i, pair in enumerate(zip(hit.stack, now)) if pair[0] != pair[1]]
        same = True
        for start in sorted({offset - offset % WORD for offset in changed}):
            same = False
            word = slice(start, start + WORD)
            print(f"SP + {start:<6}{_marked(hit.stack[word], b'')}  {_owner(play, hit, start)}")
            print(f"{'':11}{_marked(now[word], hit.stack[word])}")
        for one in play["arguments"]:
            if one["by_reference"] and (content := _now(hit, one)) != hit.copies[one["index"]]:
                same = False
                print(f"argument {one['index']} ({one['type']}), {_where(one)}")
                _rows("at the hit", hit.copies[one["index"]], b"")
                _rows("now", content, hit.copies[one["index"]])
        if same:
            print("Nothing has changed since the hit.")


class Save(Command):
    """jp-save: what the port saved on this CPU, and what putting it back would change."""

    def invoke(self, argument: str, from_tty: bool) -> None:
        play = SESSION.play
        if play["port"] is None:
            raise gdb.GdbError("This kernel's jprobes are its own; only the port has a state here.")
        module = gdb.parse_and_eval(f"*(struct module *){play['port']:#x}")
        base = int(module["percpu"].cast(gdb.lookup_type("unsigned long")))
        address = (base + play["state"] + _register("TPIDR_EL1")) % (1 << 64)
        state = gdb.parse_and_eval(f"*(struct jprobe_ctl *){address:#x}")
        print(f"phase {state['phase']}")
        if int(state["phase"]) == 0:
            print("No jprobe is at work on this CPU.")
            return
        size, sp = int(state["saved"]), int(state["regs"]["sp"])
        saved = _memory(int(state["save"].cast(gdb.lookup_type("unsigned long"))), size)
        print(f"saved {size} bytes, from SP {sp:#x}")
        same = True
        for at, length in _parts(state, sp, size):
            was, saved = saved[:length], saved[length:]
            now = _memory(at, length)
            for start in range(0, length, WORD):
                word = slice(start, start + WORD)
                if was[word] != now[word]:
                    same = False
                    owner = _owner(play, SESSION.hit, at + start - sp)
                    print(f"SP + {at + start - sp:<6}{_marked(was[word], now[word])}  {owner}")
        if same:
            print("The stack is as it was saved.")


def _parts(state: gdb.Value, sp: int, size: int) -> Iterator[tuple[int, int]]:
    """Yield the address and the size of what was saved, in order."""
    if str(state["jp"]["policy"]["kind"]) != "STACK_POLICY_SIGNATURE":
        yield sp, size
        return
    part = state["jp"]["signature"]
    while length := int(part["size"]):
        base, number = str(part["base"]), int(part["number"])
        at = sp + number
        if base == "STACK_PART_BY_REGISTER":
            at = int(state["regs"]["regs"][number])
        elif base == "STACK_PART_BY_SLOT":
            # The handler may have written to the slot.
            at = int.from_bytes(SESSION.hit.stack[number : number + WORD], "little")
        yield at, length
        part += 1


def _commands() -> dict[str, Any]:
    return {"jp-load": Load, "jp-args": Args, "jp-diff": Diff, "jp-save": Save}


for _name, _command in _commands().items():
    _command(_name)
