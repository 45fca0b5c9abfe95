# SPDX-License-Identifier: GPL-2.0-only
"""This machine: its disks, limits and programs."""

from __future__ import annotations

import shutil

from tests.disks import under_a_small_disk
from tests.faults.fault import Blame, Fault
from tests.faults.inject import arguments, both, built, environment, under, without
from tests.faults.place import Place


def full_disk(place: Place) -> None:
    """Make the modules' cache a disk that is too small for them."""
    folder = place.cache / "modules"
    folder.mkdir()
    place.prefix = under_a_small_disk(folder, "700k")


def killed_compiler(place: Place) -> None:
    """Have the compiler killed, as the kernel does where memory runs out."""
    real = shutil.which("aarch64-linux-gnu-gcc")
    place.program(
        "aarch64-linux-gnu-gcc",
        f'''case "$*" in *cases.c) kill -KILL $$;; esac
exec {real} "$@"''',
    )


FAULTS = (
    Fault("a full disk under the modules' cache", full_disk, Blame.MACHINE, "No space left"),
    Fault(
        "a full disk under git bisect",
        both(full_disk, arguments("--bisect")),
        Blame.MACHINE,
        "No space left",
        status=128,
        full=True,
    ),
    Fault(
        "20 open files at most",
        under("prlimit", "--nofile=20"),
        Blame.MACHINE,
        "open files",
        full=True,
    ),
    Fault(
        "a compiler that is killed",
        killed_compiler,
        Blame.MACHINE,
        "signal|[Kk]illed",
        full=True,
    ),
    Fault("no make", without("make"), Blame.MACHINE, "make is not installed", full=True),
    Fault(
        "no emulator",
        both(built, without("qemu-system-aarch64")),
        Blame.MACHINE,
        "is not installed",
    ),
    Fault(
        "no folder for logs",
        both(built, environment(XDG_STATE_HOME="/proc/nowhere")),
        Blame.MACHINE,
        "logs",
    ),
)
