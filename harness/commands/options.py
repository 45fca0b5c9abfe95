# SPDX-License-Identifier: GPL-2.0-only
"""Options that several commands have, and the kernel that the options name."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from harness.commands.output import Target
from harness.errors import ConfigError
from harness.kernel import ALL, DEFAULT

if TYPE_CHECKING:
    from harness.cases.catalog import Catalog
    from harness.kernel.kernel import Kernel
    from harness.kernel.options import Options
    from harness.modules.build import Modules
    from harness.prototypes.source import Files
    from harness.toolchain.compiler import Compiler

N = TypeVar("N", int, float)


def add_variants(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--variant",
        action="append",
        default=[],
        metavar="NAME",
        help="a stack policy, a shell pattern, or fixed:N; repeatable (default: all)",
    )


def add_selection(parser: argparse.ArgumentParser) -> None:
    add_variants(parser)
    add_cases(parser)
    add_case_dir(parser)


def add_cases(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--case",
        action="append",
        default=[],
        metavar="NAME",
        help="a case or a shell pattern such as 'stack-*', or '!stack-*' for all others; repeatable"
        " (default: all)",
    )


def add_case_dir(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--case-dir",
        action="append",
        default=[],
        type=Path,
        metavar="DIR",
        help="further files in DIR/cases (or DIR itself), DIR/variants and DIR/kernels",
    )


def add_kernel(
    parser: argparse.ArgumentParser, several: bool = False, *, boots: bool = True
) -> None:
    """Add what names kernels; without `boots`, nothing about guests and modules for them."""
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
        "--kconfig",
        action="append",
        default=[],
        type=Path,
        metavar="FILE",
        help="a Kconfig fragment for a source tree; 'bench' has what ssh and --share need;"
        " repeatable",
    )
    parser.add_argument(
        "--make",
        action="append",
        default=[],
        metavar="VAR=VALUE",
        help="a variable for make, which gets none from the environment; repeatable",
    )
    parser.add_argument(
        "--defconfig",
        default="",
        metavar="NAME",
        help="start a source tree's configuration from arch/arm64/configs/NAME, not with all off",
    )
    if boots:
        _add_guest(parser)
    else:
        parser.set_defaults(modules_build=None, memory=None, boot_deadline=None, cold=False)


def _add_guest(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--modules-build",
        type=Path,
        metavar="DIR",
        help="where to build modules for a kernel image: its output tree or its headers",
    )
    parser.add_argument(
        "--memory",
        type=mebibytes,
        metavar="MIB",
        help="the guest's memory (default: an estimate from the kernel, 256 or more)",
    )
    parser.add_argument(
        "--boot-deadline",
        type=seconds,
        metavar="SECONDS",
        help="how long the guest may take to boot (default: 120)",
    )
    parser.add_argument(
        "--cold",
        action="store_true",
        help="boot each guest, in place of going on from a snapshot of one that has booted",
    )


def add_jobs(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-j",
        "--jobs",
        type=int,
        metavar="N",
        help="play in so many guests at once (default: what processors and memory allow)",
    )


def jobs(options: argparse.Namespace) -> int:
    """Return how many guests play at once; raises ConfigError for none."""
    from harness.run import players

    if options.jobs is None:
        return players.usual()
    if options.jobs < 1:
        raise ConfigError("--jobs: give at least 1.")
    return int(options.jobs)


def add_cc(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--cc",
        default="gcc",
        metavar="COMPILER",
        help="the compiler of the test modules and of a source tree: gcc, clang, one with a version"
        " or a path (default: gcc)",
    )


def add_share(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--share",
        action="append",
        default=[],
        type=Path,
        metavar="DIR",
        help="a folder to copy to the guest, read-only, at /mnt/NAME; repeatable",
    )


def add_all(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--all",
        action="store_true",
        help="print each difference by itself, in place of those of one kind together",
    )


def add_json(parser: argparse.ArgumentParser, what: str) -> None:
    parser.add_argument(
        "--json", type=Target, metavar="FILE", help=f"write {what} as JSON; '-' for standard output"
    )


def seconds(text: str) -> float:
    return _number(text, float, 1e-3, 86400)


def mebibytes(text: str) -> int:
    return _number(text, int, 16, 2**20)


def port(text: str) -> int:
    return _number(text, int, 1, 65535)


def count(text: str) -> int:
    return _number(text, int, 1, 10**7)


def _number(text: str, kind: Callable[[str], N], least: N, most: N) -> N:
    with contextlib.suppress(ValueError):
        if least <= (value := kind(text)) <= most:
            return value
    raise argparse.ArgumentTypeError(f"'{text}': give a number from {least} to {most}")


def kernel_options(options: argparse.Namespace, patches: Sequence[str] = ()) -> Options:
    """Return the options for a kernel that are not in its spec."""
    from harness.kernel.options import Options
    from harness.model.policy import Changes
    from harness.toolchain.compiler import named
    from harness.toolchain.make import checked

    cc = getattr(options, "cc", "gcc")
    return Options(
        refresh=options.refresh,
        compiler=named(cc if isinstance(cc, str) else "gcc"),
        modules_build=options.modules_build,
        defconfig=options.defconfig,
        fragments=tuple(options.kconfig),
        memory_mib=options.memory,
        boot_seconds=options.boot_deadline,
        cold=options.cold,
        changes=Changes(patches=tuple(patches)),
        make=checked(options.make),
    )


def resolve(
    options: argparse.Namespace,
    catalog: Catalog,
    compilers: Sequence[Compiler],
) -> Kernel:
    """Return the kernel; raises ConfigError first if a compiler cannot build modules for it."""
    from harness import settings
    from harness.kernel import spec

    given, loaded = kernel_options(options), settings.load()
    for compiler in compilers:
        spec.check(options.kernel, catalog, loaded, options=replace(given, compiler=compiler))
    return spec.resolve(options.kernel, catalog, loaded, options=given)


def prepare(
    options: argparse.Namespace, catalog: Catalog, *, for_shell: bool = False
) -> tuple[Kernel, Modules]:
    """Return the kernel, and the modules built for it with all cases, which may be for a shell."""
    from harness.run import job

    of_kind = job.prepare_shell if for_shell else job.prepare
    return of_kind(options.kernel, catalog, options=kernel_options(options))


def add_store(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--store",
        metavar="URL",
        help="the database, as an SQLAlchemy URL (default: SQLite in the user's state folder)",
    )


def kernel_files(name: str, options: argparse.Namespace, catalog: Catalog) -> Files:
    """Return the files of the kernel that a spec names, fetched or built if need be."""
    from harness import settings
    from harness.host import home
    from harness.kernel import spec
    from harness.prototypes import source

    # Neither modules for it nor a guest are needed, so that any image or build will do.
    if files := source.of_path(name, home.resolved(name)):
        return files
    given = replace(kernel_options(options), debug_info=True)
    return source.of_kernel(spec.resolve(name, catalog, settings.load(), options=given))
