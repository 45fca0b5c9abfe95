# SPDX-License-Identifier: GPL-2.0-only
"""Shows where each argument of a function lies, and the expressions that fetch it."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from harness.commands.options import add_case_dir, add_cc, add_json, add_kernel, kernel_files
from harness.commands.output import report_json
from harness.commands.progress import bars
from harness.errors import ConfigError, Exit, nearest

if TYPE_CHECKING:
    from harness.abi.aapcs64 import Layout
    from harness.abi.ctype import CType
    from harness.abi.declaration import Reader
    from harness.measure.located import Entry, Given
    from harness.prototypes.source import Prototypes
    from harness.prototypes.types import Prototype

SUMMARY = "show where a function's arguments lie, and how tracers fetch them"
EXAMPLE = "jprobe-harness where --kernel debian:6.12 --function do_mmap"
# As --syntax has them; harness.measure.fetch has their expressions.
_SYNTAXES = ("kprobe", "perf", "bpftrace", "systemtap", "gdb")


def arguments(parser: argparse.ArgumentParser) -> None:
    add_kernel(parser, boots=False)
    add_cc(parser)
    add_case_dir(parser)
    about = parser.add_mutually_exclusive_group()
    about.add_argument("--function", metavar="NAME", help="a function of the kernel's")
    about.add_argument("--case", metavar="NAME", help="the probed function of a case")
    about.add_argument(
        "--signature", metavar="TYPES", help="types as in C, such as 'long, struct pair, u8'"
    )
    parser.add_argument(
        "--struct",
        action="append",
        default=[],
        metavar="TAG=MEMBERS",
        help="a struct for --signature, such as 'pair=long; char[3]'; repeatable",
    )
    parser.add_argument(
        "--syntax",
        choices=_SYNTAXES,
        default=_SYNTAXES[0],
        help="whose expressions are printed (default: those of kprobe events); JSON has all",
    )
    add_json(parser, "all places and expressions")


def run(options: argparse.Namespace) -> int:
    from harness.report.where import documents, tables

    if not (options.function or options.case or options.signature):
        raise ConfigError(
            "Nothing is named.", "Give --function NAME, --case NAME or --signature TYPES."
        )
    if options.struct and not options.signature:
        raise ConfigError(
            "--struct is for --signature.", "Leave it out, or give --signature TYPES."
        )
    if options.function:
        with bars():
            entries = _functions(options)
    else:
        entries = [_case(options) if options.case else _typed(options)]

    report_json(
        options,
        lambda: documents.document(entries),
        lambda: tables.print_functions(entries, options.syntax),
    )
    return Exit.AGREES


def _functions(options: argparse.Namespace) -> list[Entry]:
    """Return the functions of a name in a kernel; raises ConfigError where there is none."""
    from harness.cases.catalog import Catalog
    from harness.prototypes import code, source

    prototypes = source.read(kernel_files(options.kernel, options, Catalog(options.case_dir)))
    found: list[Entry] = []
    names = set()
    for prototype in prototypes:
        names.add(prototype.name)
        if prototype.name == options.function:
            found.append(_declared(prototype, prototypes))
    if not found:
        raise ConfigError(
            f"{options.kernel} has no prototype of '{options.function}'."
            f"{nearest(options.function, names)}",
            code.absence(options.function, prototypes.symbols),
        )
    return found


def _declared(prototype: Prototype, prototypes: Prototypes) -> Entry:
    """Return a kernel's function, with what its prototype leaves open."""
    from harness.measure import survey
    from harness.measure.located import Entry, Given, located
    from harness.prototypes import code

    placement = survey.place(prototype.signature)
    given = [
        Given(one.name or f"a{index}", one.declared, one.type, one.unknown or placement.unknown)
        for index, one in enumerate(prototype.signature.parameters)
    ]
    doubts = []
    if placement.others:
        left_open = [one.declared for one in prototype.signature.parameters if one.alignments[1:]]
        doubts.append(
            f"BTF does not say whether a member of {', '.join(left_open)} has an alignment"
            " attribute, with which it and what follows would be in other registers."
        )
    if not given:
        doubts.append("Of a function that is written in assembly, BTF may say so, too.")
    if not prototype.module and (doubt := code.doubt(prototype.name, prototypes.symbols)):
        doubts.append(doubt)
    of = f", module {prototype.module}" if prototype.module else ""
    return Entry(
        f"{prototypes.release}{of}: {prototype.declared}",
        tuple(located(given, placement.layout)),
        tuple(doubts),
    )


def _case(options: argparse.Namespace) -> Entry:
    from harness.cases.catalog import Catalog
    from harness.measure.located import Given

    (case, *others) = Catalog(options.case_dir).select_cases([options.case])
    if others:
        raise ConfigError(f"'{options.case}' names {len(others) + 1} cases.", "Name one.")
    given = [
        Given(f"a{index}", f"{argument.words} a{index}", argument.passed)
        for index, argument in enumerate(case.arguments)
    ]
    return _placed(f"{case.name}: {case.signature}", given)


def _typed(options: argparse.Namespace) -> Entry:
    """Return the arguments of a signature as it was typed; raises ConfigError."""
    from harness.abi.ctype import declared
    from harness.abi.declaration import Reader
    from harness.measure.located import Given

    reader = Reader()
    for text in options.struct:
        _define(text, reader)
    parts = _split(options.signature)
    if len(parts) > 1 and parts[-1].strip() == "...":
        # What follows the named arguments does not change where they lie.
        parts.pop()
    if [part.strip() for part in parts] == ["void"]:
        parts.pop()
    given = []
    for index, text in enumerate(parts):
        with _naming(f"--signature, argument {index + 1}"):
            if not text.strip():
                raise ConfigError("there is no type.")
            type_: CType = reader.parameter(text)
        given.append(Given(f"a{index}", declared(type_.spelling, f"a{index}"), type_))
    return _placed(" ".join(options.signature.split()), given)


def _define(text: str, reader: Reader) -> None:
    """Have a reader know a struct, "TAG=MEMBERS"; raises ConfigError."""
    from harness.abi.ctype import composite
    from harness.abi.declaration import is_identifier

    tag, _, members = text.partition("=")
    tag = tag.strip()
    members = members.strip(" ;")
    if not is_identifier(tag) or not members:
        raise ConfigError(
            f"--struct: '{text}' is not TAG=MEMBERS.", "Such as: 'pair=long; char[3]'"
        )
    if tag in reader.known:
        raise ConfigError(f"--struct: '{tag}' is a type already.", "Give it another tag.")
    with _naming(f"--struct {tag}"):
        types = [reader.member(member) for member in members.split(";")]
        reader.tag("struct", tag)
    reader.known[tag] = composite("struct", tag, types)


@contextmanager
def _naming(place: str) -> Iterator[None]:
    """Have errors in a type say where it is, and what to do on a command line."""
    try:
        yield
    except ConfigError as error:
        raise ConfigError(
            f"{place}: {error.sentence}",
            "Write types as in C, and each struct as --struct 'pair=long; char[3]'.",
        ) from error


def _split(signature: str) -> list[str]:
    """Return the types between commas, those in the parentheses of a function's left alone."""
    parts, depth = [""], 0
    for character in signature:
        depth += (character == "(") - (character == ")")
        if character == "," and not depth:
            parts.append("")
        else:
            parts[-1] += character
    return parts


def _placed(title: str, given: Sequence[Given]) -> Entry:
    from harness.abi import aapcs64
    from harness.measure.located import Entry, located

    layout: Layout = aapcs64.place([one.type for one in given if one.type])
    return Entry(title, tuple(located(given, layout)))
