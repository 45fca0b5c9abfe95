# SPDX-License-Identifier: GPL-2.0-only
"""The test modules, built for one kernel from the cases."""

from __future__ import annotations

import functools
import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness import cache, resources, tool
from harness.errors import BuildError, ConfigError, HarnessError, UnfitTree
from harness.kernel import casegen, signing
from harness.kernel.apt import Progress
from harness.kernel.compiler import CROSS_COMPILE, GCC, Compiler
from harness.kernel.kernel import Engine, Kernel, numbers
from harness.kernel.toolchain import Toolchain
from harness.model.case import Case

BUILD_SECONDS = 600
CASES = Path("probe-targets/cases.c")
# What decides on the result beside the sources.
MAKERS = ("modules.py", "compiler.py", "toolchain.py", "signing.py", "storeproof.py")
# Before, CONFIG_CFI_CLANG was another thing.
KCFI_FIRST = (6, 1)


def names(engine: Engine) -> tuple[str, str]:
    """The modules of an engine, in the order to load them."""
    return f"jprobe-{engine.value}", "probe-targets"


@dataclass(frozen=True)
class Modules:
    """Modules on disk."""

    # With debug information, for GDB.
    folder: Path
    key: str
    engine: Engine = Engine.PORT

    @property
    def files(self) -> list[Path]:
        """To load, in order; without debug information."""
        return [self.folder / "guest" / f"{name}.ko" for name in names(self.engine)]

    @property
    def compiler(self) -> str:
        return (self.folder / "compiler").read_text()

    @functools.cached_property
    def kept(self) -> dict[str, list[int]]:
        """By case, the stacked arguments of which the handler has a copy of its own."""
        kept: dict[str, list[int]] = json.loads((self.folder / "kept.json").read_text())
        return kept


def _sources(root: Path) -> dict[Path, bytes]:
    """Our own module sources by relative path."""
    paths = [path for path in sorted(root.rglob("*")) if path.name == "Kbuild"]
    paths += sorted(root.rglob("*.[chS]"))
    return {path.relative_to(root): path.read_bytes() for path in paths}


def build(
    kernel: Kernel,
    cases: Sequence[Case],
    *,
    compiler: Compiler = GCC,
    root: Path | None = None,
    report: Progress = lambda what, percent: None,
) -> Modules:
    """
    Build the modules, or take them from the cache.

    `root` replaces kernel-modules, for tests that break something on purpose.
    Raises BuildError that names the case which does not compile, UnfitTree where
    the kernel takes no modules of ours, and ConfigError where it does not take
    them from this compiler or without a key that is not there.
    """
    sources = _sources(root or resources.kernel_modules())
    sources[CASES] = casegen.source(cases).encode()
    parts = [part for path, data in sources.items() for part in (str(path), data)]
    makers = [Path(__file__).with_name(name).read_bytes() for name in MAKERS]
    toolchain = kernel.toolchain(compiler)
    check_cfi(kernel, toolchain)
    key = cache.digest(kernel.key, toolchain.stamp, signing.stamp(kernel), *parts, *makers)

    def make(folder: Path) -> None:
        toolchain.prepare(report)
        report("building modules", 0)
        _make(kernel, cases, sources, toolchain, folder)
        report("building modules", 100)

    return Modules(cache.entry("modules", key, make), key, kernel.engine)


def _make(
    kernel: Kernel,
    cases: Sequence[Case],
    sources: dict[Path, bytes],
    toolchain: Toolchain,
    folder: Path,
) -> None:
    from harness.kernel import storeproof

    for path, data in sources.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    kbuild(kernel, folder, toolchain)
    functions = storeproof.disassemble(folder / "probe-targets/cases.o", f"{CROSS_COMPILE}objdump")
    kept = storeproof.prove(cases, functions)
    (folder / "kept.json").write_text(json.dumps(kept))
    (folder / "guest").mkdir()
    for name in names(kernel.engine):
        module = folder / "guest" / f"{name}.ko"
        strip(folder / f"{name}.ko", module)
        module.write_bytes(signing.signed(kernel, module.read_bytes()))
    (folder / "compiler").write_text(toolchain.version)


def check_cfi(kernel: Kernel, toolchain: Toolchain) -> None:
    """Raise ConfigError for a compiler whose functions the kernel would not call."""
    # The later name is of v6.18.
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
    """A copy without debug information, which the guest would load in vain."""
    tool.check([f"{CROSS_COMPILE}strip", "--strip-debug", "-o", stripped, module])


def kbuild(kernel: Kernel, folder: Path, toolchain: Toolchain) -> None:
    """
    Build the modules of `folder`, which has a Kbuild.

    Raises BuildError where a case is at fault, UnfitTree otherwise.
    """
    # The same sources give the same modules, wherever they are built.
    prefixes = [f"-ffile-prefix-map={folder}/=", f"-ffile-prefix-map={kernel.build}=kernel"]
    # What a debugger reads; the guest gets a copy without.
    debug = [] if kernel.has("CONFIG_DEBUG_INFO") else ["-g"]
    flags = " ".join([*prefixes, *debug, *toolchain.compiler.flags, *kernel.flags])
    variables = toolchain.make_variables | {"KCFLAGS": flags, "KAFLAGS": flags}
    done = toolchain.run(
        [
            "make", *(kernel.make or ("-C", kernel.build)), f"M={folder}", f"-j{os.cpu_count()}",
            "ARCH=arm64", f"CROSS_COMPILE={CROSS_COMPILE}",
            f"JPROBE_ENGINE={kernel.engine.value}",
            *(f"{name}={value}" for name, value in variables.items()),
            "modules",
        ],
        readable=[kernel.home],
        writable=[folder],
        seconds=BUILD_SECONDS,
    )  # fmt: skip
    if done.returncode:
        raise _explain(done.stdout + done.stderr, folder)


def _explain(output: str, folder: Path) -> HarnessError:
    """The compiler's first complaint as a sentence: the fault of a case, or of the kernel's."""
    errors = re.findall(r"^(.*?): (?:fatal )?error: (.*)$", output, re.MULTILINE)
    for place, message in errors:
        match = re.search(rf"{CASES.name}:(\d+)", place)
        text = (folder / CASES).read_text() if match else ""
        if match and (case := casegen.case_at(text, int(match[1]))):
            return BuildError(
                f"case '{case}' cannot be compiled for the kernel: {message}.",
                "Check the case's types and arguments.",
            )
    detail = errors[0][1] if errors else output.strip()[-300:]
    return UnfitTree(
        f"The modules do not build: {detail}.",
        "Check the build needs with: jprobe-harness doctor",
    )
