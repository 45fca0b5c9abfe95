# SPDX-License-Identifier: GPL-2.0-only
"""
A bootable kernel from a source tree: configure, build, keep.

Plain make, not tuxmake: that one is made for containers and for artifacts of a
single use, where this needs the output folder itself, to build modules in and to
go on from with another policy.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness import resources
from harness.archive import plain
from harness.archive.apt import Progress
from harness.errors import ConfigError, InfrastructureError, Stopped, UnfitTree, nearest
from harness.host import blame, cache, doctor, home, tool
from harness.kernel import kconfig
from harness.kernel.image import check_raw
from harness.kernel.tree import Tree
from harness.toolchain.compiler import CROSS_COMPILE, HOST, Compiler
from harness.toolchain.make import flags, words
from harness.toolchain.toolchain import Toolchain

CONFIGURE_SECONDS = 300
# A defconfig has thousands of files.
BUILD_SECONDS = 4 * 3600
# What decides on the result beside the tree and the configuration.
MAKERS = (
    "kernel/treebuild.py",
    "toolchain/toolchain.py",
    "kernel/kconfig.py",
    "toolchain/make.py",
)
# Steps of a build from our own fragments, for a progress bar.
_STEPS = 1000
LOGS_KEPT = 20
# Fragments of configs/kconfig that a user can ask for by name.
OWN_FRAGMENTS = ("bench",)
NOTHING: Mapping[str, str] = {}
# Each has some 100 MB.
BUILDS_KEPT = 30
# Of a build's files, those that a run needs; the rest is for builds of modules.
VITAL = (
    "output/arch/arm64/boot/Image", "output/.config", "output/vmlinux",
    "output/include/config/kernel.release",
)  # fmt: skip


@dataclass(frozen=True)
class Need:
    """Something that builds a kernel, and the Debian package that has it."""

    # A program, or a header for the machine's own compiler.
    name: str
    package: str
    # Options of a configuration that need it; empty: any kernel does.
    options: tuple[str, ...] = ()
    # Trees that carry what it would make do without it.
    shipped: str = ""


NEEDS = (
    Need("gcc", "gcc"),
    Need("make", "make"),
    Need("bc", "bc"),
    Need("perl", "perl-base"),
    Need("flex", "flex", shipped="scripts/kconfig/zconf.lex.c_shipped"),
    Need("bison", "bison", shipped="scripts/kconfig/zconf.tab.c_shipped"),
    Need("stdio.h", "libc6-dev"),
    Need("openssl/ssl.h", "libssl-dev", ("CONFIG_MODULE_SIG", "CONFIG_SYSTEM_TRUSTED_KEYRING")),
    # Makes the key that a build's own modules are signed with.
    Need("openssl", "openssl", ("CONFIG_MODULE_SIG",)),
    Need("gelf.h", "libelf-dev", ("CONFIG_DEBUG_INFO_BTF",)),
    Need("pahole", "pahole", ("CONFIG_DEBUG_INFO_BTF",)),
)


@dataclass(frozen=True)
class Quirk:
    """What a tree needs from compilers of today."""

    # The first version that does without it.
    before: tuple[int, int]
    variable: str
    flag: str


QUIRKS = (
    # gcc 10 made -fno-common its default; dtc's lexer and parser both defined yylloc.
    Quirk((5, 8), "HOSTCC", "-fcommon"),
    # A compiler of today warns of more than the tree's own flags expect.
    Quirk((5, 0), "KCFLAGS", "-Wno-error"),
    # Distributions' gcc makes position-independent code unless told otherwise.
    Quirk((4, 10), "KCFLAGS", "-fno-pie"),
    Quirk((4, 10), "KAFLAGS", "-fno-pie"),
)


def check_needs(tree: Tree, options: Mapping[str, str]) -> None:
    """Raise InfrastructureError before a build that would fail for want of a package."""
    missing = []
    for need in NEEDS:
        asked = not need.options or any(options.get(name) == "y" for name in need.options)
        shipped = need.shipped and (tree.path / need.shipped).exists()
        if asked and not shipped and not doctor.is_there(need.name):
            missing.append(need)
    if missing:
        raise InfrastructureError(
            f"To build {tree.path}, {', '.join(need.name for need in missing)} is missing.",
            "As root, run: apt-get install -y " + " ".join(need.package for need in missing),
        )


def variables(tree: Tree, compiler: Compiler) -> dict[str, str]:
    """What make is told, for a tree and a compiler."""
    ccache = "ccache " if shutil.which("ccache") else ""
    found = {
        "ARCH": "arm64",
        "CROSS_COMPILE": CROSS_COMPILE,
        "CC": f"{ccache}{compiler.program}",
        "HOSTCC": "gcc",
        # Said to be nothing, it is not made from what git says of the tree.
        "LOCALVERSION": "",
    }
    if compiler.clang:
        # As with the modules: GNU as, which old trees were written for.
        found["LLVM_IAS"] = "0"
    for quirk in QUIRKS:
        if tree.version < quirk.before:
            found[quirk.variable] = f"{found.get(quirk.variable, '')} {quirk.flag}".strip()
    return found


@dataclass(frozen=True)
class Built:
    """What a build left in the cache."""

    # make's O=.
    output: Path
    key: str

    @property
    def image(self) -> Path:
        return self.output / "arch/arm64/boot/Image"

    @property
    def config(self) -> Path:
        return self.output / ".config"

    @property
    def release(self) -> str:
        return (self.output / "include/config/kernel.release").read_text().strip()


def own_fragment(name: str) -> dict[str, str]:
    """A fragment of configs/kconfig."""
    return kconfig.read(resources.configs() / f"kconfig/{name}.config")


def build(
    tree: Tree,
    *,
    required: Mapping[str, str],
    defconfig: str = "",
    compiler: Compiler,
    report: Progress,
    check: Callable[[Path], None] = lambda config: None,
    added: Mapping[str, str] = NOTHING,
    start: Path | None = None,
    given: Sequence[str] = (),
) -> Built:
    """
    The tree with an allnoconfig, or `defconfig`, and the `required` options, built once.

    `check` is given the .config, and may raise for what no build would mend;
    `added` are texts to write in the output folder before the build, by path;
    `start` is an output folder of the same tree to go on from; `given` are variables
    for make.  Raises UnfitTree with the first thing that went wrong,
    InfrastructureError where this machine did, Damaged where the cache's copy of the
    tree was, and ConfigError where `given` is not for the compiler; nothing half-built
    is kept.
    """
    chain = Toolchain(compiler)
    makers = resources.own_sources(MAKERS)
    asked = kconfig.merged([own_fragment("menus"), required])
    texts = [part for item in sorted(added.items()) for part in item]
    key = cache.digest(
        tree.digest, defconfig, asked, chain.stamp, "\n".join(given), *texts, *makers
    )

    def make(folder: Path) -> None:
        output = folder / "output"
        command = _command(tree, output, words(variables(tree, compiler), given))
        if start is None:
            output.mkdir()
            _add_compiler_header(tree, output, compiler)
            _configure(tree, output, command, defconfig, asked, required)
            check(output / ".config")
        else:
            tool.check(["cp", "--archive", "--reflink=auto", start, output], seconds=600)
        for path, text in added.items():
            (output / path).parent.mkdir(parents=True, exist_ok=True)
            (output / path).write_text(text)
        _compile(tree, output, command, key, report)
        check_raw(Built(output, key).image)

    read = [*cache.containing(tree.path), *(cache.containing(start) if start else ())]

    def make_or_blame(folder: Path) -> None:
        cache.check(*read)
        try:
            with cache.using(*read):
                make(folder)
        except UnfitTree:
            cache.check(*read)
            _check_compilers(chain, given, folder)
            raise

    folder = cache.used(cache.entry("trees", key, make_or_blame, vital=VITAL))
    cache.trim("trees", BUILDS_KEPT)
    return Built(folder / "output", key)


def _check_compilers(chain: Toolchain, given: Sequence[str], folder: Path) -> None:
    """Raise where what was built with, and not the tree, is at fault."""
    for one in (chain, Toolchain(HOST)):
        one.check(folder)
    if not chain.knows(*flags(given)):
        raise ConfigError(
            f"--make: {chain.compiler.program} does not take {shlex.join(flags(given))}."
        )


def _command(tree: Tree, output: Path, assignments: Sequence[str]) -> list[str | Path]:
    make = ["make", "-C", str(plain.name(tree.path)), f"O={plain.name(output)}"]
    return plain.command([*make, f"-j{os.cpu_count()}", *assignments], [tree.path, output])


def _add_compiler_header(tree: Tree, output: Path, compiler: Compiler) -> None:
    """Up to v4.1, a tree has a header for each version of gcc that it knows."""
    headers = tree.path / "include/linux"
    known = [
        int(m[1]) for f in headers.glob("compiler-gcc*.h") if (m := re.search(r"gcc(\d+)", f.name))
    ]
    if not known or compiler.clang:
        return
    version = tool.check([compiler.program, "-dumpversion"]).partition(".")[0].strip()
    if int(version) > max(known):
        # An output folder's own headers are found as well as the tree's.
        (output / "include/linux").mkdir(parents=True)
        header = output / f"include/linux/compiler-gcc{version}.h"
        header.write_text(f"#include <linux/compiler-gcc{max(known)}.h>\n")


def check_defconfig(tree: Tree, name: str) -> None:
    """Raise ConfigError for one that a tree does not have."""
    folder = tree.path / "arch/arm64/configs"
    known = sorted(str(path.relative_to(folder)) for path in folder.rglob("*defconfig"))
    if name and name not in known:
        raise ConfigError(
            f"{tree.path} has no arch/arm64/configs/{name}.{nearest(name, known)}",
            f"It has {', '.join(known)}." if known else "Leave --defconfig out.",
        )
    if name:
        kconfig.check_file(folder / name)


def _configure(
    tree: Tree,
    output: Path,
    command: Sequence[str | Path],
    defconfig: str,
    asked: str,
    required: Mapping[str, str],
) -> None:
    check_needs(tree, {})

    def run(*words: str) -> None:
        done = tool.run([*command, *words], seconds=CONFIGURE_SECONDS)
        if done.returncode:
            detail = _fault(tree, output, done.returncode, done.stdout + done.stderr)
            raise UnfitTree(f"{tree.path} cannot be configured: {detail}.")

    config = output / ".config"
    if defconfig:
        run(defconfig)
        config.write_text(kconfig.merged([_built_in(config), kconfig.parse(asked)]))
        run("olddefconfig")
    else:
        fragment = output.with_name("fragment.config")
        fragment.write_text(asked)
        run(f"KCONFIG_ALLCONFIG={plain.name(fragment)}", "allnoconfig")
    kconfig.check(required, config)
    check_needs(tree, kconfig.parse(config.read_text()))


def _built_in(config: Path) -> dict[str, str]:
    """A configuration without its modules, which no guest loads and which take an hour."""
    options = kconfig.parse(config.read_text())
    return {name: "n" if value == "m" else value for name, value in options.items()}


def _fault(tree: Tree, output: Path, status: int, text: str) -> str:
    """The tree's first error; raises InfrastructureError where this machine is at fault."""
    blame.check(f"The build of {tree.path}", status, text, given=[tree.path, output])
    return blame.first_error(text)


def _compile(
    tree: Tree, output: Path, command: Sequence[str | Path], key: str, report: Progress
) -> None:
    what = f"building {tree.path.name}"
    report(what, 0)
    log = _log(key)
    steps = tool.steps(r"  [A-Z]", _STEPS, lambda percent: report(what, percent))
    command = [*command, "Image", "modules"]
    try:
        status = tool.follow(command, log=log, on_line=steps, seconds=BUILD_SECONDS)
    except KeyboardInterrupt:
        raise Stopped(
            f"{what} was not finished, and nothing of the build is kept.",
            f"Its log: {log}.  The same command begins the build again.",
        ) from None
    if status:
        detail = _fault(tree, output, status, log.read_text(errors="replace"))
        raise UnfitTree(f"{tree.path} does not build: {detail}.", f"Log: {log}")
    report(what, 100)


def _log(key: str) -> Path:
    """Where a build's output goes; the oldest ones are removed."""
    folder = home.state() / "builds"
    with blame.explaining("The build's log cannot be written"):
        folder.mkdir(parents=True, exist_ok=True)
    logs = sorted(folder.glob("*.log"), key=lambda path: path.stat().st_mtime)
    for old in logs[:-LOGS_KEPT]:
        old.unlink(missing_ok=True)
    return folder / f"{key}.log"
