# SPDX-License-Identifier: GPL-2.0-only
"""The command jprobe-harness."""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from harness import __version__, commands
from harness.errors import Exit, HarnessError
from harness.kernel.spec import ALL, DEFAULT

EPILOG = (
    "exit status: 0 all as predicted, 1 a verdict differs or the kernel died, 2 usage or"
    " configuration, 3 the infrastructure failed or the run is incomplete, 125 the kernel"
    " cannot be judged, as it does not build or boot"
)

# git bisect run takes this for the end, and 1 to 127 for a bad revision.
BISECT_STOP = 128


# As many as QEMU's virt machine has room for with its default interrupt controller.
CPUS_MAX = 8


class _Parser(argparse.ArgumentParser):
    """Ends with one sentence and the documented status."""

    def error(self, message: str) -> NoReturn:
        print(f"{self.prog}: {message}.\n  See: {self.prog} --help", file=sys.stderr)
        sys.exit(Exit.USAGE)


def _add_variants(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--variant",
        action="append",
        default=[],
        metavar="NAME",
        help="a stack policy, a shell pattern, or fixed:N; repeatable (default: all)",
    )


def _add_selection(parser: argparse.ArgumentParser) -> None:
    _add_variants(parser)
    parser.add_argument(
        "--case",
        action="append",
        default=[],
        metavar="NAME",
        help="a case or a shell pattern such as 'stack-*'; repeatable (default: all)",
    )
    _add_case_dir(parser)


def _add_case_dir(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--case-dir",
        action="append",
        default=[],
        type=Path,
        metavar="DIR",
        help="further cases and variants: DIR/cases/*.yaml (or DIR/*.yaml), DIR/variants/*.yaml",
    )


def _add_kernel(parser: argparse.ArgumentParser, several: bool = False) -> None:
    if several:
        parser.add_argument(
            "--kernel",
            action="append",
            default=[],
            metavar="SPEC",
            help=f"which kernel, {ALL} for each of Debian's; repeatable (default: {DEFAULT})",
        )
    else:
        parser.add_argument(
            "--kernel", default=DEFAULT, metavar="SPEC", help=f"which kernel (default: {DEFAULT})"
        )
    parser.add_argument(
        "--refresh",
        action="store_true",
        help="ask the archive for a newer kernel even if it was asked today",
    )
    parser.add_argument(
        "--modules-build",
        type=Path,
        metavar="DIR",
        help="where modules for a kernel image are built: its output tree or its headers",
    )
    parser.add_argument(
        "--kconfig",
        action="append",
        default=[],
        type=Path,
        metavar="FILE",
        help="a Kconfig fragment for a source tree; repeatable",
    )


def _add_cc(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--cc",
        default="gcc",
        metavar="COMPILER",
        help="what compiles the test modules: gcc, clang, one with a version (default: gcc)",
    )


def _add_json(parser: argparse.ArgumentParser, what: str) -> None:
    parser.add_argument(
        "--json", metavar="FILE", help=f"write {what} as JSON; '-' for standard output"
    )


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 < value <= 86400:
        raise ValueError
    return value


def _count(text: str) -> int:
    value = int(text)
    if not 1 <= value <= 10**7:
        raise ValueError
    return value


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = _Parser(
        prog="jprobe-harness",
        description="Measures which arguments a jprobe's stack policy leaves corrupt.",
        epilog=EPILOG,
    )
    top.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    subparsers = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(
        name: str, run: Callable[[argparse.Namespace], int], summary: str, example: str
    ) -> argparse.ArgumentParser:
        command = subparsers.add_parser(
            name,
            help=summary,
            description=f"{summary[0].upper()}{summary[1:]}.",
            epilog=f"example: {example}",
        )
        command.set_defaults(run=run)
        return command

    command = add(
        "repro",
        commands.repro,
        "boot a kernel, play the cases under the variants, judge every byte",
        "jprobe-harness repro --variant fixed-128 --case 'stack-*' --json out.json",
    )
    _add_kernel(command, several=True)
    _add_cc(command)
    _add_selection(command)
    images = command.add_mutually_exclusive_group()
    images.add_argument(
        "--one-image",
        action="store_false",
        dest="exact",
        default=False,
        help="from a tree with jprobes of its own, one image that carries every policy (default)",
    )
    images.add_argument(
        "--exact",
        action="store_true",
        help="from such a tree, an image for each policy, with nothing else in it",
    )
    command.add_argument(
        "--bisect",
        action="store_true",
        help=f"end with {BISECT_STOP} in place of 2 and 3, which is no kernel's fault and stops"
        " git bisect run",
    )
    command.add_argument(
        "--patch",
        action="append",
        default=[],
        metavar="FILE",
        help="judge the tree with this patch beside the tree without; repeatable, in order",
    )
    command.add_argument(
        "--expect",
        metavar="NAME",
        help="the variant that a tree's own jprobes have to follow, whatever its files say",
    )
    command.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a further variant: the tree's own jprobes with a macro set, such as"
        " MAX_STACK_SIZE=THREAD_SIZE",
    )
    _add_json(command, "the verdicts")
    command.add_argument("--junit", metavar="FILE", help="write JUnit XML")
    command.add_argument("--ktap", metavar="FILE", help="write KTAP")
    command.add_argument(
        "--deadline",
        type=_seconds,
        default=30,
        metavar="SECONDS",
        help="how long one play may take before it counts as hung (default: 30)",
    )
    command.add_argument(
        "--witness",
        choices=("gdb",),
        help="a debugger looks on, and must have seen what the guest tells",
    )

    command = add(
        "fuzz",
        commands.fuzz,
        "play random signatures, each under one of the variants, and judge every byte",
        "jprobe-harness fuzz --seed 7 --count 20000 --variant fixed-128",
    )
    _add_kernel(command)
    _add_cc(command)
    _add_variants(command)
    command.add_argument(
        "--seed", type=int, default=1, metavar="S", help="what is drawn (default: 1)"
    )
    command.add_argument(
        "--count", type=_count, default=2000, metavar="N", help="signatures (default: 2000)"
    )
    command.add_argument(
        "--compiled",
        type=int,
        metavar="N",
        help="the first so many are compiled, the others carried as data (default: 50)",
    )
    command.add_argument(
        "--out",
        type=Path,
        default=Path(),
        metavar="DIR",
        help="where the case file of a failure is written (default: here)",
    )
    _add_json(command, "the result")

    command = add(
        "storm",
        commands.storm,
        "have all CPUs hit one jprobe at once, and account for every hit",
        "jprobe-harness storm --seconds 10 --cpus 4 --variant fixed-128",
    )
    _add_kernel(command)
    _add_cc(command)
    _add_variants(command)
    command.add_argument(
        "--seconds", type=_seconds, default=10, metavar="S", help="of each variant (default: 10)"
    )
    command.add_argument(
        "--cpus",
        type=int,
        choices=range(2, CPUS_MAX + 1),
        default=4,
        metavar="N",
        help=f"the guest's, 2 to {CPUS_MAX} (default: 4)",
    )
    _add_json(command, "the counts")

    command = add(
        "layout",
        commands.layout,
        "show where compilers keep FP and by-reference copies, side by side",
        "jprobe-harness layout --cc gcc --cc clang --case 'by-ref-*'",
    )
    _add_kernel(command)
    command.add_argument(
        "--cc",
        action="append",
        default=[],
        metavar="COMPILER",
        help="gcc, clang, one with a version; repeatable (default: gcc and clang)",
    )
    _add_selection(command)
    _add_json(command, "the facts")

    command = add(
        "predict",
        commands.predict,
        "say what a variant does to a case, without a guest",
        "jprobe-harness predict --variant fixed-128 --case stack-25",
    )
    _add_selection(command)
    _add_json(command, "the predictions")
    command.add_argument(
        "--frame",
        choices=("record-below", "record-above"),
        default="record-below",
        help="where the caller's compiler keeps the frame record, below its locals (gcc 12)"
        " or above them (gcc 16)",
    )

    command = add(
        "list",
        commands.list_,
        "list kernels, variants or cases",
        "jprobe-harness list cases --case-dir my-cases",
    )
    command.add_argument("what", choices=("kernels", "variants", "cases"))
    _add_case_dir(command)
    _add_json(command, "the list")

    command = add(
        "doctor",
        commands.doctor,
        "check the system programs that are needed",
        "jprobe-harness doctor --install",
    )
    command.add_argument(
        "--install", action="store_true", help="install what is missing (as root or with sudo)"
    )
    command.add_argument(
        "--extra", action="store_true", help="also what only a second compiler needs (--cc clang)"
    )
    _add_json(command, "the findings")

    command = add(
        "bench",
        commands.bench,
        "measure the whole job against a bare boot of the same kernel",
        "jprobe-harness bench --runs 10 --json bench.json",
    )
    _add_kernel(command)
    command.add_argument(
        "--runs", type=int, default=5, metavar="N", help="pairs of runs (default: 5)"
    )
    _add_json(command, "the rows")
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    options = parser().parse_args(arguments)
    status = _run(options)
    if getattr(options, "bisect", False) and status in (Exit.USAGE, Exit.INFRASTRUCTURE):
        return BISECT_STOP
    return status


def _run(options: argparse.Namespace) -> int:
    for stream in (sys.stdout, sys.stderr):
        # A terminal of another encoding gets a question mark, not a traceback.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        commands.check_writable(options)
        status: int = options.run(options)
        # Here, as at the interpreter's end nobody would catch a closed pipe.
        sys.stdout.flush()
    except HarnessError as error:
        print(f"jprobe-harness: {error.sentence}", file=sys.stderr)
        if error.hint:
            print(f"  {error.hint}", file=sys.stderr)
        return error.exit_status
    except KeyboardInterrupt:
        print("jprobe-harness: interrupted.", file=sys.stderr)
        return Exit.INFRASTRUCTURE
    except BrokenPipeError:
        # A reader such as head has seen enough; keep the interpreter from flushing.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.INFRASTRUCTURE
    except OSError as error:
        print(f"jprobe-harness: {error}.\n  Check the disk and its permissions.", file=sys.stderr)
        return Exit.INFRASTRUCTURE
    return status


if __name__ == "__main__":
    sys.exit(main())
