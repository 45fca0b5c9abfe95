# SPDX-License-Identifier: GPL-2.0-only
"""Files that are not regular files, never end, or expand to more than memory holds."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from pathlib import Path

import zstandard

from tests.faults.fault import Blame, Fault, Inject
from tests.faults.inject import arguments, both, case, command, file, tree
from tests.faults.place import Place
from tests.unit.standin import source_tree

GIB = 1 << 30
BOMB = "".join(f"b{n}: &b{n} [{', '.join([f'*b{n - 1}'] * 9)}]\n" for n in range(1, 10))


def zeros(path: Path) -> None:
    path.symlink_to("/dev/zero")


def large(path: Path) -> None:
    path.touch()
    os.truncate(path, GIB)


def at(name: str, make: Callable[[Path], None]) -> Inject:
    """Make something in place of a file below the folder that the command runs in."""

    def inject(place: Place) -> None:
        path = place.work / name
        path.parent.mkdir(parents=True, exist_ok=True)
        make(path)

    return inject


CASE = arguments("--case-dir", "cases")


def settings(place: Place) -> None:
    os.mkfifo(place.write("jprobe-harness/x", "").with_name("config.yaml"))
    place.environment["XDG_CONFIG_HOME"] = str(place.work)


def image(place: Place) -> None:
    """Make a zboot image of some kilobytes that unpacks to a gibibyte, in an output tree."""
    payload = zstandard.compress(bytes(GIB))
    head = struct.pack("<4s4sII8s32s", b"MZ", b"zimg", 64, len(payload), b"", b"zstd22")
    options = ("ARM64", "MODULES", "KPROBES", "VMAP_STACK", "DEBUG_FS")
    place.write(".config", "".join(f"CONFIG_{name}=y\n" for name in options))
    for name in ("Makefile", "Module.symvers"):
        place.write(name, "")
    place.write("include/config/kernel.release", "6.1.0\n")
    (place.work / "vmlinuz.efi").write_bytes(head.ljust(64, b"\0") + payload)
    place.words = ["repro", "--kernel", "./vmlinuz.efi", "--modules-build", "."]


def defconfig(place: Place) -> None:
    folder = source_tree(place.work / "linux", "6.1") / "arch/arm64/configs"
    folder.mkdir(parents=True, exist_ok=True)
    os.mkfifo(folder / "odd_defconfig")
    place.words += ["--kernel", "./linux", "--defconfig", "odd_defconfig"]


def compiler(place: Place) -> None:
    os.mkfifo(place.work / "my-gcc", 0o755)
    place.words += ["--cc", "./my-gcc"]


def substituted(script: str) -> Inject:
    """Pass a patch through a shell's <(...)."""

    def inject(place: Place) -> None:
        tree(place)
        place.prefix = ["bash", "-c", f'"$@" --patch <({script})', "bash"]

    return inject


def many(place: Place) -> None:
    for number in range(10_001):
        place.write(f"cases/c{number}.yaml", "")
    place.words += ["--case-dir", "cases"]


def in_itself(place: Place) -> None:
    """Make a folder of cases that contains a link to itself."""
    place.write("mine.yaml", "shows: mine\narguments: [long]\n")
    (place.work / "cases").symlink_to(".")
    place.words = ["repro", "--case-dir", ".", "--case", "mine"]


FAULTS = (
    Fault("a billion arguments", case("big", "arguments: [999999999 x long]"), Blame.USER,
          "give 1 to 64"),
    Fault("an array of two billion",
          case("big", "types: {a: ['char[2000000000]']}\narguments: [a]"),
          Blame.USER, "more than 65,536 members"),
    Fault("aliases of aliases", case("big", f"arguments: [long]\nb0: &b0 [x]\n{BOMB}"), Blame.USER,
          "more than 100,000 values", full=True),
    Fault("a case that is a pipe", both(CASE, at("cases/a.yaml", os.mkfifo)), Blame.USER,
          r"cases/a\.yaml is a pipe"),
    Fault("a case that never ends", both(CASE, at("cases/a.yaml", zeros)), Blame.USER,
          r"cases/a\.yaml is a device"),
    Fault("a case of a gibibyte", both(CASE, at("cases/a.yaml", large)), Blame.USER,
          r"cases/a\.yaml is too large"),
    Fault("10,001 cases", many, Blame.USER, "more than 10,000 YAML files", full=True),
    Fault("a folder of cases that is in itself", in_itself, full=True),
    Fault("a matrix that is a pipe", both(at("m.yaml", os.mkfifo), command("nightly", "m.yaml")),
          Blame.USER, r"m\.yaml is a pipe", full=True),
    Fault("settings that are a pipe", settings, Blame.USER, r"config\.yaml is a pipe", full=True),
    Fault("a defconfig that is a pipe", defconfig, Blame.USER, "odd_defconfig is a pipe",
          full=True),
    Fault("a compiler that is a pipe", compiler, Blame.USER, "my-gcc is a pipe"),
    Fault("a kernel that is a pipe", both(at("Image", os.mkfifo), arguments("--kernel", "./Image")),
          Blame.USER, r"\./Image is neither a kernel image", full=True),
    Fault("a kernel that never ends", both(at("Image", zeros), arguments("--kernel", "./Image")),
          Blame.USER, r"\./Image is neither a kernel image", full=True),
    Fault("a kernel that unpacks to a gibibyte", image, Blame.USER,
          r"vmlinuz\.efi is too large: .* it unpacks to more"),
    Fault("a patch through a pipe", substituted("echo Dear all,"), Blame.USER, "is not a patch"),
    Fault("a patch that never ends", substituted("exec cat /dev/zero"), Blame.USER,
          "is too large"),
    Fault("a patch that is a device", both(tree, arguments("--patch", "/dev/zero")), Blame.USER,
          "/dev/zero is a device", full=True),
    Fault("a patch that nobody writes", both(tree, at("silent", os.mkfifo),
                                             arguments("--patch", "silent")),
          Blame.USER, "this pipe was not written to its end within 60 s", full=True),
    Fault("a fragment that is a socket's folder", both(tree, arguments("--kconfig", ".")),
          Blame.USER, "cannot be read: Is a directory"),
    Fault("a result over its matrix", both(file("m.yaml", "shows: x\nkernels: ['debian:6.1']\n"),
                                           command("nightly", "m.yaml", "--json", "./m.yaml")),
          Blame.USER, r"m\.yaml is read, and would be written over"),
    Fault("a table and a form in one pipe", arguments("--ktap", "/dev/stdout", "--json", "-"),
          Blame.USER, "Two outputs go to standard output|Two outputs go to /dev/stdout"),
)  # fmt: skip
