# SPDX-License-Identifier: GPL-2.0-only
"""
Tables of tracers for a guest's shell, in which jprobe-case attaches them itself.

In /etc/jprobe/tracers, each tracer has its name, what it is attached with (a kind, a table, and a
further word) and what it shows.  In each table in /etc/jprobe/traced, each case has its function
and what a tracer wants besides: fetch arguments, or an argument of the program /bin/trace.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from io import BytesIO

from elftools.elf.elffile import ELFFile

from harness.errors import ConfigError
from harness.guest import cpio
from harness.kernel.kernel import Bootable
from harness.model.case import Case
from harness.modules.build import Modules
from harness.prototypes import source
from harness.prototypes.btf import Btf, with_first_header
from harness.tracers.catalog import tracers
from harness.tracers.tracer import Kind, Tracer
from harness.tracing import events
from harness.tracing.described import Described, describe, function
from harness.tracing.function import Function
from harness.tracing.programs import Programs

FOLDER = "etc/jprobe"
# Beside a column's text.
_TAB = "\t"


def archive(kernel: Bootable, modules: Modules, cases: Iterable[Case]) -> bytes:
    """Return an archive for the initrd; nothing where the modules are not `traced` ones."""
    if not modules.traced:
        return b""
    known = _described(kernel, modules)
    functions = [function(case, known) for case in cases if not case.real]
    shown = [one for one in tracers().values() if one.kind is not Kind.REDIRECT]
    rows = [(one.name, f"{one.kind.value} {' '.join(_how(one))}", one.shows) for one in shown]
    tables = {_how(one)[0]: one for one in shown}
    folder = f"{FOLDER}/traced"
    return cpio.archive(
        [
            cpio.directory(FOLDER),
            _table(f"{FOLDER}/tracers", rows),
            cpio.directory(folder),
            *(_table(f"{folder}/{name}", _rows(one, functions)) for name, one in tables.items()),
        ]
    )


def _table(path: str, rows: Iterable[Sequence[str]]) -> cpio.Entry:
    return cpio.file(path, "".join(f"{_TAB.join(row)}\n" for row in rows).encode())


def _how(tracer: Tracer) -> tuple[str, str]:
    """Return the table with what a tracer wants of each function, and a further word."""
    options = tracer.options
    match tracer.kind:
        case Kind.EVENT:
            return options["fetch"], options["event"]
        case Kind.PROGRAM:
            return options["attach"], options["reads"]
        case _:
            return options["tracer"], options["option"]


def _rows(tracer: Tracer, functions: Iterable[Function]) -> Iterator[tuple[str, str, str]]:
    for one in functions:
        for argument in _arguments(tracer, one):
            yield one.case.name, one.symbol, argument


def _arguments(tracer: Tracer, one: Function) -> Iterator[str]:
    match tracer.kind:
        case Kind.EVENT:
            yield from map(events.words, events.definitions(tracer.options["fetch"], one))
        case Kind.PROGRAM:
            yield Programs(tracer).argument(one)
        case _:
            yield ""


def _described(kernel: Bootable, modules: Modules) -> Mapping[str, Described]:
    """
    Return what BTF says of the functions of the modules, with the numbers that it has in a guest.

    A guest opens without them too; the kernel then refuses programs that need them.
    """
    if not kernel.has("CONFIG_DEBUG_INFO_BTF_MODULES"):
        return {}
    elf = ELFFile(BytesIO(modules.files[-1].read_bytes()))
    parts = {name: elf.get_section_by_name(name) for name in (".BTF", ".BTF.base")}
    if parts[".BTF"] is None:
        return {}
    try:
        base = source.base(source.of_kernel(kernel))
    except ConfigError:
        return {}
    # It may come with what it wants of the kernel's types, to be found again in the kernel's.
    distilled = parts[".BTF.base"]
    before = Btf(with_first_header(distilled.data())) if distilled else base
    own = Btf(with_first_header(parts[".BTF"].data()), before)
    return {
        own.name(one): replace(describe(own, one), number=one - before.end + base.end)
        for one in own.functions
    }
