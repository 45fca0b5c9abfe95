# SPDX-License-Identifier: GPL-2.0-only
"""
Plays a plan while GDB watches, and trusts nothing in the guest.

The first stop at the probed function's entry is before the handler.  After the handler,
the port's engine passes the entry again, while a native one executes the first instruction
elsewhere; both reach the second instruction.

A function of the kernel's own is called by others, too.  There the first stop is where the
module has found that a hit counts, and the second one where the stack is the same.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from struct import Struct

from harness.abi.aapcs64 import GENERAL_REGISTERS
from harness.errors import ConfigError
from harness.guest import module_elf, symbols
from harness.guest.module_elf import ModuleFile
from harness.guest.records import Ran, Record
from harness.kernel.kernel import Bootable, Engine
from harness.model.case import Case
from harness.model.witness import Copy, Sighting, copy_address, stack_top
from harness.modules.casefunctions import symbol
from harness.run.observer import Watched
from harness.run.plan import Play
from harness.run.session import Session
from harness.vm.gdb import FP, PC, SP, Gdb, GdbError, GdbSilent, attached
from harness.vm.machine import Config

MODULE = "probe-targets"
INSTRUCTION = 4
# The module calls this function at the end of each record,
END = "probe_put_end"
# and this one with the registers, a struct pt_regs, at a hit that counts.
HIT = "probe_real_hit"
# x0-x30, sp and pc begin it, as struct user_pt_regs of the UAPI.
_PT_REGS = Struct("<33Q")


class Witness:
    """An observer that has GDB sight each play."""

    testifies = True

    def check(self, kernel: Bootable) -> None:
        """Raise ConfigError for a kernel whose probed functions go another way."""
        if kernel.engine is not Engine.PORT:
            raise ConfigError(
                "The witness stops where the port resumes a probed function; a kernel's own jprobes"
                " single-step its first instruction elsewhere.",
                "Use --witness with kernels that need the port.",
            )

    def prepare(self, config: Config) -> Config:
        """Return the configuration with QEMU's GDB stub."""
        return dataclasses.replace(config, gdb=True)

    def records(self, watched: Watched) -> Iterator[tuple[Record, Sighting | None]]:
        """See Observer.records()."""
        session = watched.session
        introduction = session.introduce()
        module = module_elf.read(watched.modules.folder / f"{MODULE}.ko")
        addresses = load_addresses(session)
        text = addresses[".text"]
        functions = {name: text + offset for name, offset in module.functions.items()}
        real = {play.case.real.function for play in watched.plays if play.case.real}
        functions |= _kernels_own(session, real) if real else {}
        trace = session.log.gdb() if session.log else nullcontext()
        with trace as log, attached(session.machine.gdb, session, trace=log) as gdb:
            _check_module(gdb, module, addresses.get(".rodata", 0))
            sighted = _Sighted(session, gdb, functions, introduction.thread_size, watched.plays)
            session.play([play.line for play in watched.plays])
            yield from sighted.plays()


def load_addresses(session: Session) -> dict[str, int]:
    """Return the addresses of the module's sections in the guest, by name."""
    session.send(f"run {module_elf.command(MODULE)}")
    ran = session.await_record(session.deadlines.play)
    if not isinstance(ran, Ran) or ran.status:
        raise GdbError(f"The guest does not report where {MODULE} is: {ran}.")
    return module_elf.addresses(ran.output)


def _kernels_own(session: Session, names: Collection[str]) -> dict[str, int]:
    """Return the addresses of functions of the kernel's own."""
    pattern = f" [tTwW] ({'|'.join(sorted(names))})$"
    session.send(f"run /bin/busybox grep -E '{pattern}' /proc/kallsyms")
    ran = session.await_record(session.deadlines.play)
    found = symbols.parse(ran.output) if isinstance(ran, Ran) else []
    if missing := set(names) - {one.name for one in found}:
        raise GdbError(f"The guest does not report where {', '.join(sorted(missing))} is.")
    # Of several with a name, the kernel probes the first.
    return {one.name: one.address for one in reversed(found)}


def _check_module(gdb: Gdb, module: ModuleFile, address: int) -> None:
    """Raise GdbError unless the module's constants are in the guest's memory at `address`."""
    data, relocated = module.constants
    found = gdb.memory(address, len(data))
    if any(data[i] != found[i] for i in range(len(data)) if i not in relocated):
        raise GdbError(
            f"The guest's memory at {address:#x} does not hold {MODULE}.",
            "The guest runs another build of the module, or hides its address.",
        )


@dataclass(frozen=True)
class _Watch:
    """The function that is watched, and its breakpoints."""

    # Where the first stop is, and the second instruction.
    first: int
    second: int
    breakpoints: tuple[int, ...]


@contextmanager
def blaming(session: Session) -> Iterator[None]:
    """Raise the error of a guest that died or hangs in place of GDB's."""
    try:
        yield
    except GdbSilent:
        # The session finds out what in the guest hangs.
        session.wait(0)
        raise
    except GdbError:
        session.wait(session.deadlines.end)
        if session.ended:
            session.check_end()
        raise


class _Sighted:
    """The plays of one boot under GDB; the guest is stopped before them."""

    def __init__(
        self,
        session: Session,
        gdb: Gdb,
        functions: Mapping[str, int],
        stack_size: int,
        plays: Sequence[Play],
    ) -> None:
        """`functions` are the addresses of the module's functions, `stack_size` is in bytes."""
        self._session = session
        self._gdb = gdb
        self._functions = functions
        self._stack_size = stack_size
        self._plays = plays
        self._end = functions[END]
        gdb.break_at(self._end)
        self._watched = self._watch(plays[0].case)

    def plays(self) -> Iterator[tuple[Record, Sighting | None]]:
        """Let the guest run, and yield each play's record with its sighting."""
        self._gdb.resume()
        for play, following in itertools.zip_longest(self._plays, self._plays[1:]):
            yield self._play(play, following)

    def _watch(self, case: Case) -> _Watch:
        if case.real:
            first, second = self._functions[HIT], self._functions[case.real.function] + INSTRUCTION
            # Others come by the second, so that only a hit leads to a stop there.
            return _Watch(first, second, (self._gdb.break_at(first),))
        first = self._functions[symbol(case, "target")]
        second = first + INSTRUCTION
        return _Watch(first, second, tuple(map(self._gdb.break_at, (first, second))))

    def _play(self, play: Play, following: Play | None) -> tuple[Record, Sighting | None]:
        """Sight one play; the guest runs before and after the call."""
        session = self._session
        with blaming(session):
            sighting = self._sight(play.case)
            if following and following.case is not play.case:
                self._gdb.delete(self._watched.breakpoints)
                self._watched = self._watch(following.case)
            self._gdb.resume()
        return session.await_record(session.deadlines.play), sighting

    def _sight(self, case: Case) -> Sighting | None:
        """Wait until the play is over, and leave the guest stopped; return the sighting or None."""
        before: _Entry | None = None
        sighting = None
        added: list[int] = []
        while True:
            self._gdb.wait_stop(self._session.deadlines.play)
            registers = self._gdb.registers()
            if added and (sighting or registers[PC] == self._end):
                self._gdb.delete(added)
                added.clear()
            if registers[PC] == self._end:
                return sighting
            if registers[PC] == self._watched.first and before is None:
                if case.real:
                    registers = self._at_hit(registers[0])
                    added.append(self._gdb.break_at(self._watched.second))
                before = _Entry(self._gdb, case, registers, self._stack_size)
            elif before and sighting is None and self._is_second(case, registers, before):
                sighting = before.sighting(self._gdb, registers)
            self._gdb.resume()

    def _is_second(self, case: Case, registers: Mapping[int, int], before: _Entry) -> bool:
        """Return whether a stop is at the second instruction, in the call that was hit."""
        same = not case.real or registers[SP] == before.sp
        return registers[PC] == self._watched.second and same

    def _at_hit(self, pt_regs: int) -> dict[int, int]:
        """Return the registers at a hit, by GDB's numbers."""
        return dict(enumerate(_PT_REGS.unpack(self._gdb.memory(pt_regs, _PT_REGS.size))))


class _Entry:
    """The registers and stack at a probed function's entry, before the handler."""

    def __init__(self, gdb: Gdb, case: Case, registers: Mapping[int, int], stack_size: int) -> None:
        self._registers = _general(registers)
        self._fp = registers[FP]
        self.sp = registers[SP]
        self._top = stack_top(self.sp, stack_size)
        self._stack = gdb.memory(self.sp, self._top - self.sp)
        self._copies = {}
        for index, placement in enumerate(case.layout.placements):
            if placement.by_reference:
                at = copy_address(placement, self._registers, self._stack)
                size = case.arguments[index].type.size
                self._copies[index] = at, gdb.memory(at, size)

    def sighting(self, gdb: Gdb, registers: Mapping[int, int]) -> Sighting:
        """Return the sighting, with the registers and stack after the handler."""
        return Sighting(
            sp=self.sp,
            fp=self._fp,
            top=self._top,
            registers_before=self._registers,
            registers_after=_general(registers),
            stack_before=self._stack,
            stack_after=gdb.memory(self.sp, len(self._stack)),
            copies={
                index: Copy(at, before, gdb.memory(at, len(before)))
                for index, (at, before) in self._copies.items()
            },
        )


def _general(registers: Mapping[int, int]) -> tuple[int, ...]:
    return tuple(registers[number] for number in range(GENERAL_REGISTERS))
