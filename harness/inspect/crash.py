# SPDX-License-Identifier: GPL-2.0-only
"""
Reads a dump of a guest with drgn, without debug information of the kernel.

A stock kernel has none, so only the structures of our own modules are read, which have
debug information.
"""

from __future__ import annotations

import itertools
import json
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from elftools.common.exceptions import ELFError
from elftools.elf.constants import SH_FLAGS
from elftools.elf.elffile import ELFFile
from elftools.elf.relocation import RelocationSection
from elftools.elf.sections import SymbolTableSection

from harness.abi.offsets import ranges
from harness.errors import ConfigError
from harness.guest import module_elf
from harness.inspect.postmortem import places_of, vmcore_of
from harness.model.case import Case
from harness.model.policy import Policy, Rule

if TYPE_CHECKING:
    from drgn import Object, Program

PORT = "jprobe-port"
STATE = "jprobe_ctl"
PLAYING = "probe_playing"
OFFSETS = "__per_cpu_offset"
_THIS_MODULE = ".gnu.linkonce.this_module"
# elf.h, and the Arm Architecture Reference Manual, section C6.2.
_ADR_PREL_PG_HI21, _ADD_ABS_LO12_NC, _LDST64_ABS_LO12_NC = 275, 277, 286
_ADRP_MASK, _ADRP = 0x9F000000, 0x90000000
_PAGE = 4096
_NOTE = struct.Struct("<III")
# The largest stack, and the most CPUs, that arm64 can be configured with.
_STACK_MAX, _CPUS_MAX = 1 << 18, 4096


@dataclass(frozen=True)
class Cpu:
    """The port's state on a CPU."""

    number: int
    # The name of a value of enum jprobe_phase.
    phase: str
    # On a CPU that is not idle: how many bytes were saved, and the dump's stack contents from SP
    # at the hit to the stack's top.
    saved: int = 0
    sp: int = 0
    pc: int = 0
    stack: bytes = b""
    policy: Policy | None = None


@dataclass(frozen=True)
class Crash:
    """A vmcore, opened with drgn's view of the kernel and its modules."""

    # The name of the case that was played last; empty if there was none.
    case: str
    cpus: tuple[Cpu, ...]


def find(folder: Path) -> int:
    """Return the first boot of a run that left a dump; raises ConfigError if none did."""
    boots = sorted(int(path.name.partition("-")[2]) for path in folder.glob("vmcore-*"))
    if not boots:
        raise ConfigError(
            f"The run {folder.name} left no dump.", "Make one with: jprobe-harness repro --dump"
        )
    return boots[0]


def opened(folder: Path, boot: int) -> Program:
    """A drgn program of a dump, which knows our modules."""
    with _explaining(vmcore_of(folder, boot)):
        return _opened(folder, boot)


@contextmanager
def _explaining(dump: Path) -> Iterator[None]:
    """A guest whose memory is damaged may have left anything there."""
    from drgn import FaultError

    try:
        yield
    except (FaultError, LookupError, ValueError, OverflowError, ELFError, struct.error) as error:
        raise ConfigError(
            f"{dump} does not show what the jprobes were doing: {error}.",
            "The guest's memory may be damaged, or the file cut short.",
        ) from error


def _opened(folder: Path, boot: int) -> Program:
    from drgn import Program

    places, dump = _places(folder, boot), vmcore_of(folder, boot)
    program = Program(vmcoreinfo=_vmcoreinfo(dump, places["vmcoreinfo"]))
    program.set_core_dump(dump)
    for name, sections in places["sections"].items():
        module = program.relocatable_module(name, sections[".text"], create=True)
        for section, address in sections.items():
            module.section_addresses[section] = address
        file = loaded_file(places, name)
        module.address_ranges = address_ranges(file, sections)
        module.try_file(str(file), force=True)
    return program


def address_ranges(module: Path, sections: Mapping[str, int]) -> list[tuple[int, int]]:
    """
    Return the [start, end) ranges of a module's sections from their addresses.

    The sections for initialisation are left out: their memory was freed, and may belong to
    another module.
    """
    with module.open("rb") as file:
        sizes = {
            section.name: section["sh_size"]
            for section in ELFFile(file).iter_sections()
            if section["sh_flags"] & SH_FLAGS.SHF_ALLOC
        }
    return [
        (address, address + sizes[name])
        for name, address in sections.items()
        if sizes.get(name) and not name.startswith(".init")
    ]


def _places(folder: Path, boot: int) -> Any:
    return json.loads(places_of(folder, boot).read_text())


def _vmcoreinfo(dump: Path, place: str) -> bytes:
    """Return the contents of the note at `place`, the text of /sys/kernel/vmcoreinfo."""
    address, size = (int(word, 16) for word in place.split())
    with dump.open("rb") as file:
        for segment in ELFFile(file).iter_segments("PT_LOAD"):
            start = segment["p_paddr"]
            if start <= address < start + segment["p_filesz"]:
                file.seek(segment["p_offset"] + address - start)
                note = file.read(size)
                name_size, content_size, _ = _NOTE.unpack_from(note)
                content = _NOTE.size + -(-name_size // 4) * 4
                return note[content : content + content_size]
    raise ConfigError(f"{dump} has no memory at {address:#x}.", "It may be cut short.")


def read(folder: Path, boot: int) -> Crash:
    """What a dump shows of the jprobes."""
    places = _places(folder, boot)
    program = opened(folder, boot)
    if PORT not in places["sections"]:
        raise ConfigError("This kernel's jprobes are its own; only the port's state can be read.")
    with _explaining(vmcore_of(folder, boot)):
        playing = program[PLAYING]
        return Crash(
            case=playing.name.string_().decode() if playing else "",
            cpus=tuple(itertools.islice(_cpus(program, places), _CPUS_MAX)),
        )


def _cpus(program: Program, places: Any) -> Iterator[Cpu]:
    from drgn import Object

    file = loaded_file(places, PORT)
    sections = places["sections"][PORT]
    module = Object(program, "struct module", address=sections[_THIS_MODULE])
    base = module.percpu.value_() + module_elf.read(file).per_cpu[STATE]
    for number, offset in enumerate(_per_cpu_offsets(program, file, sections)):
        address = (base + offset) % (1 << 64)
        yield _cpu(program, number, Object(program, "struct jprobe_ctl", address=address))


def _cpu(program: Program, number: int, state: Object) -> Cpu:
    phase = state.phase.format_(type_name=False)
    if not state.phase.value_():
        return Cpu(number, phase)
    hit = state.jp.stat.stack
    sp, top = state.regs.sp.value_(), hit.top.value_()
    if not 0 <= top - sp <= _STACK_MAX:
        raise ValueError(f"no stack is from {sp:#x} to {top:#x}")
    kind = state.jp.policy.kind.format_(type_name=False).removeprefix("STACK_POLICY_")
    return Cpu(
        number=number,
        phase=phase,
        saved=state.saved.value_(),
        sp=sp,
        pc=state.regs.pc.value_(),
        stack=program.read(sp, top - sp),
        policy=Policy(Rule[kind], state.jp.policy.size.value_()),
    )


def loaded_file(places: Any, name: str) -> Path:
    """Return the path of a module's file, which has debug information."""
    return Path(places["modules"]) / f"{name}.ko"


def _per_cpu_offsets(program: Program, file: Path, sections: Mapping[str, int]) -> Iterator[int]:
    """
    Yield the kernel's per-CPU offsets, CPU by CPU.

    Without debug information nothing says where its table is; but the kernel recorded
    our module, when it resolved the module's own references to it.
    """
    table = _resolved(program, _references(file, sections))
    if table is None:
        raise ConfigError(f"{file.name} does not record where the kernel's {OFFSETS} is.")
    while offset := program.read_u64(table):
        yield offset
        table += 8


def _references(file: Path, sections: Mapping[str, int]) -> list[tuple[int, int]]:
    """Return the address and relocation type of each reference to OFFSETS in the module."""
    found = []
    with file.open("rb") as opened_file:
        elf = ELFFile(opened_file)
        symbols = elf.get_section_by_name(".symtab")
        assert isinstance(symbols, SymbolTableSection)
        for section in elf.iter_sections():
            name = section.name.removeprefix(".rela")
            # The sections for initialisation have been freed.
            if not isinstance(section, RelocationSection) or ".init" in name:
                continue
            for one in section.iter_relocations() if name in sections else ():
                if symbols.get_symbol(one["r_info_sym"]).name == OFFSETS:
                    found.append((sections[name] + one["r_offset"], one["r_info_type"]))
    return found


def _resolved(program: Program, references: list[tuple[int, int]]) -> int | None:
    """Return the address that code computes with ADRP for the page, and the low 12 bits."""
    page = low = None
    for at, kind in references:
        instruction = program.read_u32(at)
        immediate = instruction >> 10 & 0xFFF
        if kind == _ADD_ABS_LO12_NC:
            low = immediate
        elif kind == _LDST64_ABS_LO12_NC:
            low = immediate * 8
        # With the workaround for an erratum, the instruction may be another one.
        elif kind == _ADR_PREL_PG_HI21 and instruction & _ADRP_MASK == _ADRP:
            pages = (instruction >> 5 & 0x7FFFF) << 2 | instruction >> 29 & 3
            signed = pages - (1 << 21) if pages >> 20 else pages
            page = at - at % _PAGE + signed * _PAGE
    return None if page is None or low is None else page + low


def damage(case: Case, cpu: Cpu) -> list[tuple[int, list[tuple[int, int]]]]:
    """Return the stacked arguments that are not as passed: each index, and byte ranges."""
    found = []
    for index, (argument, placement) in enumerate(zip(case.arguments, case.layout.placements)):
        if placement.stack is None or placement.by_reference:
            continue
        now = cpu.stack[placement.stack : placement.stack + argument.type.size]
        if len(now) < argument.type.size:
            # The argument would lie above the stack's top.
            continue
        changed = [i for i in sorted(argument.type.value_bytes) if now[i] != argument.value[i]]
        if changed:
            found.append((index, ranges(changed)))
    return found
