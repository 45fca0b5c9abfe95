# SPDX-License-Identifier: GPL-2.0-only
"""What the command was asked for."""

from __future__ import annotations

from tests.faults.fault import Blame, Fault
from tests.faults.inject import arguments, both, case, command, file, matrix, tree

FAULTS = (
    Fault(
        "a case called storm",
        case("storm", "arguments: [9 x long]\nhandler: {assign: all}"),
        full=True,
    ),
    Fault("a case called nested", case("nested", "arguments: [long]"), full=True),
    Fault("a case called assembled", case("assembled", "arguments: [long]"), full=True),
    Fault("a case named after a keyword of C", case("register", "arguments: [long]"), full=True),
    Fault(
        "a key twice",
        case("twice", "arguments: [long]\narguments: [int]"),
        Blame.USER,
        ":3: 'arguments' was given in line 2",
    ),
    Fault(
        "a word in place of a list",
        matrix("kernels: debian:6.1"),
        Blame.USER,
        "kernels: give a list",
    ),
    Fault(
        "a misspelt context",
        case("sixth", "arguments: [long]\ncontext: hardirk"),
        Blame.USER,
        "hardirq",
        full=True,
    ),
    Fault(
        "an unknown kernel",
        command("repro", "--kernel", "debian:6.11"),
        Blame.USER,
        r"nearest: debian:6\.1",
        full=True,
    ),
    Fault(
        "an unknown kernel in a matrix",
        matrix("kernels: [debian:6.11]"),
        Blame.USER,
        r"nearest: debian:6\.1",
    ),
    Fault(
        "a patch that is not there",
        both(tree, arguments("--patch", "nofile.patch")),
        Blame.USER,
        r"nofile\.patch: cannot be read",
    ),
    Fault(
        "a patch that is none",
        both(tree, file("prose.patch", "Dear all,\n"), arguments("--patch", "prose.patch")),
        Blame.USER,
        r"prose\.patch is not a patch",
    ),
    Fault(
        "a patch to a kernel that is no tree",
        both(file("prose.patch", "Dear all,\n"), arguments("--patch", "prose.patch")),
        Blame.USER,
        "is not a source tree",
    ),
    Fault(
        "a page that cannot be written",
        both(matrix("kernels: [debian:6.1]"), arguments("--html", "/proc/nowhere/x.html")),
        Blame.USER,
        r"/proc/nowhere/x\.html",
    ),
    Fault(
        "two outputs in one file", arguments("--json", "out", "--junit", "out"), Blame.USER, "out"
    ),
    Fault(
        "two outputs on the terminal",
        arguments("--json", "-", "--ktap", "-"),
        Blame.USER,
        "standard output",
    ),
)
