# SPDX-License-Identifier: GPL-2.0-only
"""The tools whose syntaxes `where` prints, asked what they make of expressions."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from harness import settings
from harness.archive.apt import in_suites
from harness.host import cache, tool
from tests.compilers import core
from tests.compilers.emulator import State

SECONDS = 600
# Of one probe; the kernel takes up to 128.
ARGUMENTS = 48
# What one program of bpftrace's fetches: the more, the longer its compiler takes for each.
PROGRAM = 40


def gdb(asked: Sequence[tuple[State, Sequence[str]]], folder: Path) -> list[list[int]]:
    """Return what GDB evaluates expressions to, in each state; fails for one that is refused."""
    lines = ["set architecture aarch64", "set language c"]
    for number, (state, expressions) in enumerate(asked):
        core.write(folder / f"core{number}", state)
        lines += [f"core-file {folder}/core{number}", r'printf "\nstate\n"']
        lines += [f'printf "%lx\\n", {expression}' for expression in expressions]
    script = folder / "script"
    script.write_text("\n".join(lines) + "\n")
    done = tool.run(["gdb-multiarch", "-nx", "-batch", "-x", script], seconds=SECONDS)
    assert done.returncode == 0, done.stderr[-500:]
    found: list[list[int]] = []
    for line in done.stdout.splitlines():
        if line == "state":
            found.append([])
        elif found and re.fullmatch("[0-9a-f]+", line):
            found[-1].append(int(line, 16))
    return found


def perf(expressions: Sequence[str], folder: Path) -> list[str]:
    """Return the definition that perf probe writes for the kernel, word by word."""
    source, program = folder / "probed.c", folder / "probed"
    source.write_text("long probed(long a) { return a; }\n")
    build = ["aarch64-linux-gnu-gcc", "-O1", "-g", "-shared", "-nostdlib"]
    tool.check([*build, source, "-o", program])
    words = " ".join(f"v{at}={expression}" for at, expression in enumerate(expressions))
    return tool.check(["perf", "probe", "-x", program, "-D", f"probed {words}"]).split()


def systemtap(expressions: Sequence[str], folder: Path) -> str:
    """Return what SystemTap says against expressions, for arm64, up to its semantic analysis."""
    # It wants to know for which release.
    tree = folder / "tree"
    (tree / "include/config").mkdir(parents=True, exist_ok=True)
    (tree / "include/config/kernel.release").write_text("6.1.0\n")
    for name in (".config", "Makefile", "Module.symvers"):
        (tree / name).touch()
    script = folder / "script.stp"
    # At a function's probe it would look for that function, in a kernel with debug information.
    prints = "\n".join(f'printf("%x", {expression})' for expression in expressions)
    script.write_text(f"probe begin {{\n{prints}\n}}\n")
    done = tool.run(["stap", "-p2", "-a", "arm64", "-r", tree, script], seconds=SECONDS)
    return done.stderr if done.returncode else ""


def systemtap_registers() -> set[str]:
    """
    Return the names that u_register() knows on arm64.

    SystemTap itself only looks them up in a probe that runs.
    """
    tapset = Path("/usr/share/systemtap/tapset/arm64/registers.stp").read_text()
    return set(re.findall(r'_reg_offsets\["(\w+)"\]', tapset))


def bpftrace(expressions: Sequence[str], folder: Path) -> tuple[str, str]:
    """
    Return what arm64's bpftrace says against expressions, and the LLVM code it makes of them.

    It knows only its own machine's registers, so that it is arm64's that is run.
    """
    script, code = folder / "script.bt", folder / "code"
    fetches = "\n".join(f"@[{at}] = {expression};" for at, expression in enumerate(expressions))
    script.write_text(f"kprobe:f {{\n{fetches}\n}}\n")
    root = _arm64_root()
    # It refuses to run for anybody but root, even where it only compiles.
    user = [] if os.geteuid() == 0 else ["unshare", "--map-root-user"]
    done = tool.run(
        [
            *user, "qemu-aarch64", "-L", root, root / "usr/bin/bpftrace",
            "--emit-elf", folder / "program", "--emit-llvm", code, script,
        ],
        seconds=SECONDS,
    )  # fmt: skip
    if done.returncode:
        return done.stdout + done.stderr, ""
    return "", Path(f"{code}.original.ll").read_text()


def _arm64_root() -> Path:
    """Return a folder with arm64's bpftrace and its libraries, none of them configured."""
    archive = settings.load().archive
    sources = in_suites(archive, []).sources
    suite = sources[0].suites[0]
    lines = [
        f"deb [signed-by={source.keyring}] {source.uri} {name} main"
        for source in sources
        for name in source.suites
    ]

    def make(folder: Path) -> None:
        root = folder / "root"
        packed = folder / "root.tar"
        tool.check(
            [
                "mmdebstrap", "--variant=extract", "--architectures=arm64", "--format=tar",
                "--include=bpftrace", suite, packed, *lines,
            ],
            seconds=SECONDS,
        )  # fmt: skip
        root.mkdir()
        tool.check(
            ["tar", "-x", "-f", packed, "-C", root, "--no-same-owner", "--exclude=./dev"],
            seconds=SECONDS,
        )
        packed.unlink()
        # Where no package has the link, the one that has it is none of these.
        if not (root / "lib").exists():
            (root / "lib").symlink_to("usr/lib")

    return cache.entry("bpftrace", cache.digest(*lines), make, vital=("root/usr/bin/*",)) / "root"
