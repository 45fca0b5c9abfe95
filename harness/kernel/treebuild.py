# SPDX-License-Identifier: GPL-2.0-only
"""
Builds a bootable kernel from a source tree, and keeps it in the cache.

It runs make itself and not tuxmake, which is meant for containers and for artifacts
of a single use: here the output folder is needed, to build modules in and to continue
from with another policy.
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
from harness.errors import ConfigError, InfrastructureError, Stopped, UnfitTree, nearest
from harness.host import blame, cache, doctor, home, tool
from harness.kernel import kconfig
from harness.kernel.image import check_raw
from harness.kernel.tree import Tree
from harness.steps import progress
from harness.toolchain.compiler import CROSS_COMPILE, HOST, Compiler
from harness.toolchain.make import flags, words
from harness.toolchain.toolchain import Toolchain

CONFIGURE_SECONDS = 300
# A defconfig has thousands of files.
BUILD_SECONDS = 4 * 3600
# Our own sources that decide on the result, besides the tree and the configuration.
MAKERS = (
    "kernel/treebuild.py",
    "toolchain/toolchain.py",
    "kernel/kconfig.py",
    "toolchain/make.py",
)
# About how many steps a build from our own fragments has, for a progress bar.
_STEPS = 1000
LOGS_KEPT = 20
# Fragments of configs/kconfig that a user can ask for by name.
OWN_FRAGMENTS = ("bench",)
NOTHING: Mapping[str, str] = {}
# Each build has some 100 MB.
BUILDS_KEPT = 30
# The files of a build that a run needs; the others are for builds of modules.
VITAL = (
    "output/arch/arm64/boot/Image", "output/.config", "output/vmlinux",
    "output/include/config/kernel.release",
)  # fmt: skip


@dataclass(frozen=True)
class Need:
    """Something that a kernel's build needs, and the Debian package that has it."""

    # A program, or a header for the machine's own compiler.
    name: str
    package: str
    # Options of a configuration that need it; if empty, every kernel does.
    options: tuple[str, ...] = ()
    # A file with its output; a tree that has this file does not need the program.
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
    # Makes the key with which a build signs its own modules.
    Need("openssl", "openssl", ("CONFIG_MODULE_SIG",)),
    Need("gelf.h", "libelf-dev", ("CONFIG_DEBUG_INFO_BTF",)),
    Need("pahole", "pahole", ("CONFIG_DEBUG_INFO_BTF",)),
)


@dataclass(frozen=True)
class Quirk:
    """A flag that an old tree needs for a newer compiler."""

    # The first version that does not need it.
    before: tuple[int, int]
    variable: str
    flag: str


QUIRKS = (
    # gcc 10 made -fno-common its default; dtc's lexer and parser both defined yylloc.
    Quirk((5, 8), "HOSTCC", "-fcommon"),
    # Newer compilers have more warnings than the tree's own flags expect.
    Quirk((5, 0), "KCFLAGS", "-Wno-error"),
    # The gcc of a distribution makes position-independent code by default.
    Quirk((4, 10), "KCFLAGS", "-fno-pie"),
    Quirk((4, 10), "KAFLAGS", "-fno-pie"),
)


def check_needs(tree: Tree, options: Mapping[str, str]) -> None:
    """Raise InfrastructureError where a package is missing that the build would need."""
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
    """Return the variables that make is given for a tree and a compiler."""
    ccache = "ccache " if shutil.which("ccache") else ""
    found = {
        "ARCH": "arm64",
        "CROSS_COMPILE": CROSS_COMPILE,
        "CC": f"{ccache}{compiler.program}",
        "HOSTCC": "gcc",
        # If it is set, even to nothing, it is not derived from the state of git.
        "LOCALVERSION": "",
    }
    if compiler.clang:
        # GNU as, as for the modules, because old trees were written for it.
        found["LLVM_IAS"] = "0"
    for quirk in QUIRKS:
        if tree.version < quirk.before:
            found[quirk.variable] = f"{found.get(quirk.variable, '')} {quirk.flag}".strip()
    return found


@dataclass(frozen=True)
class Built:
    """A build in the cache."""

    # The output folder, make's O=.
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
    """Return the options of a fragment in configs/kconfig."""
    return kconfig.read(resources.configs() / f"kconfig/{name}.config")


@dataclass(frozen=True)
class HowToBuild:
    """How a tree is configured and built."""

    compiler: Compiler
    # Options that the configuration must have.
    required: Mapping[str, str]
    # The file to begin with; empty for an allnoconfig.
    defconfig: str = ""
    # Variables for make.
    given: Sequence[str] = ()
    # Called with the .config; may raise an error to stop the build.
    check: Callable[[Path], None] = lambda config: None


def build(
    tree: Tree, how: HowToBuild, *, added: Mapping[str, str] = NOTHING, start: Path | None = None
) -> Built:
    """
    Build a tree, once.

    `added` are texts to write in the output folder before the build, by path; `start` is an
    output folder of the same tree to continue from.  Raises UnfitTree with the build's first
    error, InfrastructureError where this machine is at fault, DamagedEntry where the cache's
    copy of the tree is, and ConfigError where the compiler does not accept `how.given`; no
    incomplete build is kept.
    """
    chain = Toolchain(how.compiler)
    makers = resources.own_sources(MAKERS)
    asked = kconfig.merged([own_fragment("menus"), how.required])
    texts = [part for item in sorted(added.items()) for part in item]
    key = cache.digest(
        tree.digest, how.defconfig, asked, chain.stamp, "\n".join(how.given), *texts, *makers
    )

    def make(folder: Path) -> None:
        output = folder / "output"
        command = _command(tree, output, words(variables(tree, how.compiler), how.given))
        if start is None:
            output.mkdir()
            _add_compiler_header(tree, output, how.compiler)
            _configure(tree, output, command, how.defconfig, asked, how.required)
            how.check(output / ".config")
        else:
            tool.check(["cp", "--archive", "--reflink=auto", start, output], seconds=600)
        for path, text in added.items():
            (output / path).parent.mkdir(parents=True, exist_ok=True)
            (output / path).write_text(text)
        _compile(tree, output, command, key)
        check_raw(Built(output, key).image)

    read = [*cache.containing(tree.path), *(cache.containing(start) if start else ())]

    def make_or_blame(folder: Path) -> None:
        cache.check(*read)
        try:
            with cache.using(*read):
                make(folder)
        except UnfitTree:
            cache.check(*read)
            _check_compilers(chain, how.given, folder)
            raise

    folder = cache.used(cache.entry("trees", key, make_or_blame, vital=VITAL))
    cache.trim("trees", BUILDS_KEPT)
    return Built(folder / "output", key)


def _check_compilers(chain: Toolchain, given: Sequence[str], folder: Path) -> None:
    """Raise InfrastructureError or ConfigError where a compiler or its flags are at fault."""
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
    """
    Give a tree a header for a gcc that is newer than any that it knows.

    Trees up to v4.1 have a header for each version of gcc.
    """
    headers = tree.path / "include/linux"
    known = [
        int(m[1]) for f in headers.glob("compiler-gcc*.h") if (m := re.search(r"gcc(\d+)", f.name))
    ]
    if not known or compiler.clang:
        return
    version = tool.check([compiler.program, "-dumpversion"]).partition(".")[0].strip()
    if int(version) > max(known):
        # The compiler also searches the output folder for headers.
        (output / "include/linux").mkdir(parents=True)
        header = output / f"include/linux/compiler-gcc{version}.h"
        header.write_text(f"#include <linux/compiler-gcc{max(known)}.h>\n")


def check_defconfig(tree: Tree, name: str) -> None:
    """Raise ConfigError for a defconfig that a tree does not have."""
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
    """Return a configuration's options without modules, which no guest loads."""
    options = kconfig.parse(config.read_text())
    return {name: "n" if value == "m" else value for name, value in options.items()}


def _fault(tree: Tree, output: Path, status: int, text: str) -> str:
    """Return the build's first error; raise InfrastructureError where this machine is at fault."""
    blame.check(f"The build of {tree.path}", status, text, given=[tree.path, output])
    return blame.first_error(text)


def _compile(tree: Tree, output: Path, command: Sequence[str | Path], key: str) -> None:
    what = f"building {tree.path.name}"
    progress(what, 0)
    log = _log(key)
    steps = tool.steps(r"  [A-Z]", _STEPS, lambda percent: progress(what, percent))
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
    progress(what, 100)


def _log(key: str) -> Path:
    """Return the file for a build's output, and remove the oldest of these files."""
    folder = home.state() / "builds"
    with blame.explaining("The build's log cannot be written"):
        folder.mkdir(parents=True, exist_ok=True)
    logs = sorted(folder.glob("*.log"), key=lambda path: path.stat().st_mtime)
    for old in logs[:-LOGS_KEPT]:
        old.unlink(missing_ok=True)
    return folder / f"{key}.log"
