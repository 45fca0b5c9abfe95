# SPDX-License-Identifier: GPL-2.0-only
"""Shows where each argument of a function lies, and the expressions that fetch it."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from harness.commands.options import add_case_dir, add_cc, add_json, add_kernel, kernel_files
from harness.commands.output import report_json
from harness.commands.progress import bars
from harness.errors import ConfigError, Exit, nearest

if TYPE_CHECKING:
    from harness.abi.aapcs64 import Layout
    from harness.abi.ctype import CType
    from harness.measure.located import Given, Located

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
    if options.function:
        with bars():
            found = _functions(options)
    else:
        found = [_case(options) if options.case else _typed(options)]

    report_json(
        options,
        lambda: documents.document(found),
        lambda: tables.print_functions(found, options.syntax),
    )
    return Exit.AGREES


_Found = tuple[str, Sequence["Located"]]


def _functions(options: argparse.Namespace) -> list[_Found]:
    """Return the functions of a name in a kernel; raises ConfigError where there is none."""
    from harness.cases.catalog import Catalog
    from harness.measure import survey
    from harness.measure.located import Given, located
    from harness.prototypes import source

    prototypes = source.read(kernel_files(options.kernel, options, Catalog(options.case_dir)))
    found: list[_Found] = []
    names = set()
    for prototype in prototypes:
        names.add(prototype.name)
        if prototype.name != options.function:
            continue
        placement = survey.place(prototype.signature)
        given = [
            Given(one.name or f"a{index}", one.declared, one.type, one.unknown)
            for index, one in enumerate(prototype.signature.parameters)
        ]
        title = f"{prototypes.release}: {prototype.declared}"
        found.append((title, list(located(given, placement.layout))))
    if not found:
        raise ConfigError(
            f"{options.kernel} has no prototype of '{options.function}'."
            f"{nearest(options.function, names)}",
            "A function that is written in assembly, or was inlined everywhere, has none in BTF.",
        )
    return found


def _case(options: argparse.Namespace) -> _Found:
    from harness.cases.catalog import Catalog
    from harness.measure.located import Given

    (case, *others) = Catalog(options.case_dir).select_cases([options.case])
    if others:
        raise ConfigError(f"'{options.case}' names {len(others) + 1} cases.", "Name one.")
    given = [
        Given(f"a{index}", f"{argument.words} a{index}", argument.passed)
        for index, argument in enumerate(case.arguments)
    ]
    return f"{case.name}: {case.signature}", _placed(given)


def _typed(options: argparse.Namespace) -> _Found:
    """Return the arguments of a signature as it was typed; raises ConfigError."""
    from harness.abi.ctype import composite, declared
    from harness.abi.declaration import Reader, is_identifier
    from harness.measure.located import Given

    reader = Reader()
    for text in options.struct:
        tag, _, members = text.partition("=")
        tag = tag.strip()
        members = members.strip(" ;")
        if not is_identifier(tag) or not members:
            raise ConfigError(
                f"--struct: '{text}' is not TAG=MEMBERS.", "Such as: 'pair=long; char[3]'"
            )
        types = [reader.member(member) for member in members.split(";")]
        reader.tag("struct", tag)
        reader.known[tag] = composite("struct", tag, types)
    given = []
    for index, text in enumerate(_split(options.signature)):
        type_: CType = reader.parameter(text)
        given.append(Given(f"a{index}", declared(type_.spelling, f"a{index}"), type_))
    return options.signature, _placed(given)


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


def _placed(given: Sequence[Given]) -> Sequence[Located]:
    from harness.abi import aapcs64
    from harness.measure.located import located

    layout: Layout = aapcs64.place([one.type for one in given if one.type])
    return list(located(given, layout))
