# SPDX-License-Identifier: GPL-2.0-only
"""Plays the cases under the variants on one kernel or several."""

from __future__ import annotations

import argparse
import functools
from pathlib import Path
from typing import TYPE_CHECKING

from harness.commands import output
from harness.commands.options import (
    add_all,
    add_cc,
    add_jobs,
    add_kernel,
    add_selection,
    add_share,
    port,
    seconds,
)
from harness.commands.repro.outputs import OUTPUTS, PATCH_OUTPUTS, report
from harness.errors import Exit, OwnFault, Stopped

if TYPE_CHECKING:
    from harness.run.result import Comparison


# git bisect run aborts at this status, and takes 1 to 127 (but 125) for a bad revision.
BISECT_STOP = 128

SUMMARY = "boot a kernel, play the cases under the variants, judge every byte"
EXAMPLE = "jprobe-harness repro --variant fixed-128 --case 'stack-*' --json out.json"


def arguments(parser: argparse.ArgumentParser) -> None:
    add_kernel(parser, several=True)
    add_cc(parser)
    add_selection(parser)
    images = parser.add_mutually_exclusive_group()
    images.add_argument(
        "--one-image",
        action="store_false",
        dest="exact",
        default=False,
        help="from a tree with jprobes of its own, build one image with every policy (default)",
    )
    images.add_argument(
        "--exact",
        action="store_true",
        help="from such a tree, build an image for each policy, with no other policy in it",
    )
    parser.add_argument(
        "--bisect",
        action="store_const",
        dest="ends",
        const=for_git,
        default=int,
        help=f"exit with {BISECT_STOP} in place of 2, 3 and 4, which are not the kernel's fault;"
        " git bisect run stops there",
    )
    parser.add_argument(
        "--patch",
        action="append",
        default=[],
        metavar="FILE",
        help="compare the tree with this patch to the tree without; repeatable, applied in order",
    )
    parser.add_argument(
        "--expect",
        metavar="NAME",
        help="the variant that a tree's own jprobes have to follow, whatever its source says",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a further variant: the tree's own jprobes with a macro set, such as"
        " MAX_STACK_SIZE=THREAD_SIZE",
    )
    add_jobs(parser)
    add_all(parser)
    for one in OUTPUTS:
        one.add(parser)
    parser.add_argument(
        "--deadline",
        type=seconds,
        default=30,
        metavar="SECONDS",
        help="how long one play may take before it counts as hung (default: 30)",
    )
    parser.add_argument(
        "--keep",
        action="store_true",
        help="never remove this run's logs (jprobe-harness runs)",
    )
    parser.add_argument(
        "--shell",
        action="store_true",
        help="then open a shell in the guest that ran the plays",
    )
    add_share(parser)
    debugger = parser.add_mutually_exclusive_group()
    debugger.add_argument(
        "--gdb",
        action="store_true",
        help="run one play under GDB, stopped as the probed function is called",
    )
    debugger.add_argument(
        "--gdb-wait",
        type=port,
        nargs="?",
        const=0,
        metavar="PORT",
        help="the same for a debugger of your own: print how to attach to a socket (default) or to"
        " a port on the loopback, where only this user's debuggers may connect",
    )
    parser.add_argument(
        "--vmlinux",
        type=Path,
        metavar="FILE",
        help="the kernel's own file, for GDB (default: that of a tree, else symbols alone)",
    )
    parser.add_argument(
        "--kaslr", action="store_true", help="under GDB, let the kernel choose its addresses"
    )
    parser.add_argument(
        "--dump",
        choices=("panic", "end"),
        nargs="?",
        const="panic",
        help="write a dump of the guest when its kernel panics (default), or after all plays;"
        " see: jprobe-harness dump",
    )
    parser.add_argument(
        "--witness",
        choices=("gdb",),
        help="GDB observes each play, and must have seen what the guest reports",
    )


def for_git(status: int) -> int:
    """Return what git bisect run takes in place of an exit status."""
    stops = (Exit.USAGE, Exit.INFRASTRUCTURE, Exit.OWN_FAULT)
    return BISECT_STOP if status in stops else status


def run(options: argparse.Namespace) -> int:
    from harness.commands.repro import judged, one_guest
    from harness.commands.repro.request import read
    from harness.run.result import ENDED

    request = read(options)
    if request.shell:
        return one_guest.prompted(request, functools.partial(report, options)).exit_status
    if request.debugging:
        agrees = one_guest.debugged(request, request.debugging, functools.partial(report, options))
        return Exit.AGREES if agrees else Exit.DIFFERS
    if request.patches:
        from harness.report import patch_report

        comparison = judged.patched(request)
        output.each_then(
            _end(comparison),
            lambda: report(options, comparison, patch_report.print_patch, PATCH_OUTPUTS),
        )
        return patch_report.exit_status(comparison)
    if len(request.specs) > 1:
        comparison = judged.several(request)
        output.each_then(_end(comparison), lambda: report(options, comparison))
        return comparison.exit_status
    try:
        result = judged.judge(request, request.specs[0], request.kernel)
    except ENDED as ended:
        result = ended.result
        output.each_then(ended, lambda: report(options, result))
    report(options, result)
    return result.exit_status


def _end(comparison: Comparison) -> Stopped | OwnFault | None:
    """Return what ended the comparison, to be raised with its exit status after the report."""
    if comparison.ended:
        comparison.ended.exit_status = comparison.exit_status
    return comparison.ended
