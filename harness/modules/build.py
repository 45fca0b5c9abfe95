# SPDX-License-Identifier: GPL-2.0-only
"""The test modules, built for one kernel from the cases."""

from __future__ import annotations

import functools
import os
import re
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from harness import resources
from harness.archive import plain
from harness.errors import BuildError, ConfigError, HarnessError, UnfitTree
from harness.host import blame, cache, tool
from harness.kernel.kernel import Engine, Kernel, numbers
from harness.model.case import Case
from harness.modules import casegen, signing, storeproof, twingen
from harness.steps import progress
from harness.toolchain.compiler import CROSS_COMPILE, GCC, Compiler
from harness.toolchain.make import words
from harness.toolchain.toolchain import Toolchain

BUILD_SECONDS = 600
CASES = Path("probe-targets/cases.c")
# Its object file, whose handlers' stores are proved.
CASES_OBJECT = CASES.with_suffix(".o")
# Our own sources that decide on the result, besides the modules' sources.
MAKERS = (
    "modules/build.py",
    "toolchain/compiler.py",
    "toolchain/toolchain.py",
    "modules/signing.py",
    "toolchain/make.py",
    # What is made of the cases.
    "modules/casefunctions.py",
    "modules/casegen.py",
    "modules/twingen.py",
    "modules/typedefs.py",
    "model/case.py",
    "model/context.py",
    "abi/ctype.py",
    "abi/aapcs64.py",
    "abi/descriptor.py",
)
# What today's probes want besides, and the program that attaches BPF programs.
TWINS = Path("probe-targets/twins.c")
TRACE = "trace"
# A module that needs nothing of a kernel.
CONTROL = {
    "Kbuild": "obj-m := control.o\n",
    "control.c": '#include <linux/module.h>\n\nMODULE_LICENSE("GPL");\n',
}
# The program that leads to functions of the kernel's own.
DRIVE = "drive"
# Programs need nothing of a C library, which the cross compiler may not have.
_PROGRAM_FLAGS = (
    "-O2", "-Wall", "-Werror", "-ffreestanding", "-nostdlib", "-static", "-fno-stack-protector",
    "-Wl,--build-id=none", "-s",
)  # fmt: skip
# Earlier releases lack some of what `traced` modules take of the kernel.
TRACEABLE_FIRST = (5, 10)
# In earlier releases CONFIG_CFI_CLANG needs link-time optimisation.
KCFI_FIRST = (6, 1)


def names(engine: Engine) -> tuple[str, str]:
    """Return the names of an engine's modules, in the order in which they are loaded."""
    return f"jprobe-{engine.value}", "probe-targets"


def _programs(engine: Engine, traced: bool) -> list[str]:
    """Return the programs for user space, each in a folder of its name."""
    return [DRIVE] * (engine is Engine.PORT) + [TRACE] * traced


@dataclass(frozen=True)
class Modules:
    """The built modules of one kernel in the cache."""

    # Has the modules with debug information, for GDB.
    folder: Path
    key: str
    # Has what was proved of the handlers' stores.
    proof: Path
    engine: Engine = Engine.PORT
    # Whether it has what today's probes want besides.
    traced: bool = False

    @property
    def files(self) -> list[Path]:
        """The modules without debug information, in the order in which they are loaded."""
        return [self.folder / "guest" / f"{name}.ko" for name in names(self.engine)]

    @property
    def programs(self) -> list[Path]:
        """Programs for user space, which the modules run; a tree's own jprobes need none."""
        return [self.folder / "guest" / name for name in _programs(self.engine, self.traced)]

    @property
    def compiler(self) -> str:
        return self._makers[0]

    @property
    def make(self) -> str:
        """The version of the make that built them, as it prints it."""
        return self._makers[2]

    @property
    def _makers(self) -> tuple[str, str, str]:
        return (self.folder / "compiler").read_text().partition("\n")

    @functools.cached_property
    def private_copies(self) -> dict[str, list[int]]:
        """By case, the stacked arguments that the handler keeps in a copy in its own frame."""
        found = (self.proof / storeproof.PRIVATE_COPIES).read_bytes()
        return msgspec.json.decode(found, type=dict[str, list[int]])


def _sources(root: Path) -> dict[Path, bytes]:
    """Return our own module sources by relative path."""
    paths = [path for path in sorted(root.rglob("*")) if path.name == "Kbuild"]
    paths += sorted(root.rglob("*.[chS]"))
    return {path.relative_to(root): path.read_bytes() for path in paths}


def playable(engine: Engine, cases: Sequence[Case]) -> list[Case]:
    """Return the cases that an engine can play; only the port tells the hits of tasks apart."""
    return [case for case in cases if engine is Engine.PORT or not case.real]


def is_traceable(kernel: Kernel) -> bool:
    """Whether modules can have what today's probes want besides."""
    return kernel.engine is Engine.PORT and numbers(kernel.release)[:2] >= TRACEABLE_FIRST


def build(
    kernel: Kernel,
    cases: Sequence[Case],
    *,
    compiler: Compiler = GCC,
    root: Path | None = None,
    traced: bool = False,
) -> Modules:
    """
    Build the modules, or take them from the cache, and return them.

    `traced` ones have what today's probes want besides.  `root` replaces
    kernel-modules, for tests that break something on purpose.

    Raises BuildError that names the case which does not compile, UnfitTree where
    the modules do not build for the kernel, ConfigError where the kernel cannot load
    modules of this compiler or needs a signing key that is missing, and
    InfrastructureError where this machine is at fault.
    """
    cases = playable(kernel.engine, cases)
    sources = _sources(root or resources.kernel_modules())
    parts = [part for path, data in sources.items() for part in (str(path), data)]
    makers = [msgspec.json.encode(cases), *resources.own_sources(MAKERS)]
    toolchain = kernel.kbuild.toolchain(compiler)
    check_cfi(kernel, toolchain)
    given = "\n".join(kernel.variables) + "\ntraced" * traced
    key = cache.digest(kernel.key, toolchain.stamp, signing.stamp(kernel), given, *parts, *makers)

    def make(folder: Path) -> None:
        toolchain.prepare()
        kernel.mend()
        progress("building modules", 0)
        written = {**sources, CASES: casegen.source(cases).encode()}
        if traced:
            written[TWINS] = twingen.source(cases).encode()
        try:
            with cache.using(*kernel.entries):
                _make(kernel, written, toolchain, folder)
        except HarnessError:
            # A failure that comes from a damaged file of the cache is not the kernel's fault.
            cache.check(*kernel.entries)
            raise
        progress("building modules", 100)

    folder = cache.entry("modules", key, make)
    proof = storeproof.proof(cases, folder / CASES_OBJECT)
    return Modules(folder, key, proof, kernel.engine, traced)


def _make(
    kernel: Kernel,
    sources: dict[Path, bytes],
    toolchain: Toolchain,
    folder: Path,
) -> None:
    for path, data in sources.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    kbuild(kernel, folder, toolchain)
    (folder / "guest").mkdir()
    for name in names(kernel.engine):
        module = folder / "guest" / f"{name}.ko"
        strip(folder / f"{name}.ko", module)
        module.write_bytes(signing.signed(kernel, module.read_bytes()))
    for name in _programs(kernel.engine, TWINS in sources):
        source = folder / name / f"{name}.c"
        tool.check([GCC.program, *_PROGRAM_FLAGS, "-o", folder / "guest" / name, source])
    (folder / "compiler").write_text(f"{toolchain.version}\n{toolchain.version_of('make')}")


def check_cfi(kernel: Kernel, toolchain: Toolchain) -> None:
    """Raise ConfigError for a compiler whose functions the kernel would not call."""
    # v6.18 renamed the option to CONFIG_CFI.
    option = next((name for name in ("CONFIG_CFI_CLANG", "CONFIG_CFI") if kernel.has(name)), "")
    if not option:
        return
    program = toolchain.compiler.program
    refused = f"The kernel {kernel.spec} was built with {option}"
    if numbers(kernel.release) < KCFI_FIRST:
        raise ConfigError(
            f"{refused}, which before v6.1 takes modules of link-time optimisation only.",
            "Choose another kernel, or leave the option out.",
        )
    if not toolchain.compiler.clang or not toolchain.knows("-fsanitize=kcfi"):
        raise ConfigError(
            f"{refused}: it calls no function of a module that {program} compiles.",
            "Give a clang that knows -fsanitize=kcfi, 16 or newer: --cc clang-16",
        )


def strip(module: Path, stripped: Path) -> None:
    """Write a copy without debug information, which the guest has no use for."""
    tool.check([f"{CROSS_COMPILE}strip", "--strip-debug", "-o", stripped, module])


def kbuild(kernel: Kernel, folder: Path, toolchain: Toolchain) -> None:
    """
    Build the modules of `folder`, which has a Kbuild.

    Raises InfrastructureError where this machine is at fault, BuildError where a
    case is, UnfitTree otherwise.
    """
    # With these, the same sources give the same modules wherever they are built.
    place, build = plain.name(folder), plain.name(kernel.kbuild.folder)
    prefixes = [f"-ffile-prefix-map={place}/=", f"-ffile-prefix-map={build}=kernel"]
    # For the debugger; the guest gets a stripped copy.
    debug = [] if kernel.has("CONFIG_DEBUG_INFO") else ["-g"]
    flags = " ".join([*prefixes, *debug, *toolchain.compiler.flags, *kernel.kbuild.flags])
    variables = toolchain.make_variables | {"KCFLAGS": flags, "KAFLAGS": flags}
    done = _make_modules(kernel, folder, toolchain, variables)
    if done.returncode:
        raise _explain(kernel, folder, toolchain, done)


def _make_modules(
    kernel: Kernel, folder: Path, toolchain: Toolchain, variables: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    """Run make; raise InfrastructureError where this machine is at fault."""
    place, build = plain.name(folder), plain.name(kernel.kbuild.folder)
    done = toolchain.run(
        [
            "make", *(kernel.kbuild.make or ("-C", build)), f"M={place}", f"-j{os.cpu_count()}",
            "ARCH=arm64", f"CROSS_COMPILE={CROSS_COMPILE}",
            f"JPROBE_ENGINE={kernel.engine.value}",
            *["JPROBE_TRACED=y"] * (folder / TWINS).exists(),
            *words(variables, kernel.variables),
            "modules",
        ],
        readable=[kernel.kbuild.home],
        writable=[folder],
        seconds=BUILD_SECONDS,
    )  # fmt: skip
    if done.returncode:
        what = f"The build of modules for {kernel.spec}"
        blame.check(what, done.returncode, _said(done), given=[kernel.kbuild.folder, folder])
    return done


def _said(done: subprocess.CompletedProcess[str]) -> str:
    return done.stdout + done.stderr


def _explain(
    kernel: Kernel, folder: Path, toolchain: Toolchain, done: subprocess.CompletedProcess[str]
) -> HarnessError:
    """Return the error for a failed build: of the first case that does not compile, or the tree."""
    for place, message in re.findall(r"^(.*?): (?:fatal )?error: (.*)$", _said(done), re.MULTILINE):
        match = re.search(rf"{CASES.name}:(\d+)", place)
        text = (folder / CASES).read_text() if match else ""
        if match and (case := casegen.case_at(text, int(match[1]))):
            return BuildError(
                f"case '{case}' cannot be compiled for the kernel: {message}.",
                "Check the case's types and arguments.",
            )
    _build_control(kernel, folder / "control", toolchain)
    return UnfitTree(
        f"The modules do not build for {kernel.spec}: {blame.first_error(_said(done))}.",
        "An empty module does: the kernel lacks something that these need, or has it otherwise.",
    )


def _build_control(kernel: Kernel, folder: Path, toolchain: Toolchain) -> None:
    """
    Build an empty module, to find out why ours do not build.

    Raises InfrastructureError where the compiler or this machine is at fault,
    ConfigError where a variable for make is, and UnfitTree where no module at all
    builds for the kernel.
    """
    toolchain.check(folder.parent)
    folder.mkdir()
    for name, text in CONTROL.items():
        (folder / name).write_text(text)
    done = _make_modules(kernel, folder, toolchain, toolchain.make_variables)
    if not done.returncode:
        return
    what = f"Not even an empty module builds for {kernel.spec}"
    detail = blame.first_error(_said(done))
    without = replace(kernel, variables=())
    if kernel.variables and not (
        _make_modules(without, folder, toolchain, toolchain.make_variables).returncode
    ):
        raise ConfigError(
            f"{what} with --make {shlex.join(kernel.variables)}: {detail}.",
            "Without this --make, one builds.",
        )
    raise UnfitTree(
        f"{what}: {detail}.",
        f"Mend what it is built in, {kernel.kbuild.folder}, or choose another compiler with --cc.",
    )
