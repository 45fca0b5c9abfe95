# SPDX-License-Identifier: GPL-2.0-only
"""What a guest gets, by its kernel and by the user's options."""

from __future__ import annotations

import argparse
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from harness.commands import shell
from harness.commands.options import add_kernel, kernel_options
from harness.guest.deadlines import DEFAULT_DEADLINES
from harness.kernel.kernel import Kernel
from harness.run import boot
from harness.run.boot import Contents
from harness.vm.machine import Config, Disk
from harness.vm.terminal import Terminal
from tests.unit.kernels import made_up

MIB = 1 << 20
SHELL = Contents((boot.MINIMAL, "shell"))
DISK = Disk("name", Path("file"))
VIRTIO = "CONFIG_VIRTIO_MMIO=y\nCONFIG_VIRTIO_CONSOLE=y\n"


def kernel(folder: Path, size_mib: int, config: str = "", **said: int) -> Kernel:
    """One whose Image has a header that reports its size."""
    folder.mkdir(exist_ok=True)
    (folder / "Image").write_bytes(bytes(16) + (size_mib * MIB).to_bytes(8, "little") + bytes(40))
    (folder / "config").write_text(config)
    return made_up(
        folder,
        image=folder / "Image",
        memory_mib=said.get("memory"),
        boot_seconds=said.get("boot"),
    )


@pytest.mark.parametrize(
    ("size_mib", "config", "memory_mib"),
    [
        (30, "", 256),
        (30, "CONFIG_KASAN=y\n", 448),
        (30, "# CONFIG_KASAN is not set\n", 256),
        (200, "", 576),
        (200, "CONFIG_KASAN=y\nCONFIG_PAGE_OWNER=y\n", 2240),
    ],
)
def test_memory_for_what_a_kernel_looks_like(
    tmp_path: Path, size_mib: int, config: str, memory_mib: int
) -> None:
    machine = boot.machine(kernel(tmp_path, size_mib, config), bytes(5 * MIB))
    assert machine.config.memory_mib == memory_mib


def test_what_the_user_says(tmp_path: Path) -> None:
    parser = argparse.ArgumentParser()
    add_kernel(parser)
    options = kernel_options(parser.parse_args(["--memory", "96", "--boot-deadline", "7"]))
    assert (options.memory_mib, options.boot_seconds) == (96, 7)
    said = kernel(tmp_path, 200, "CONFIG_KASAN=y\n", memory=96, boot=7)
    assert boot.machine(said, b"").config.memory_mib == 96
    deadlines = boot.deadlines(said, DEFAULT_DEADLINES)
    assert (deadlines.boot, deadlines.play) == (7, DEFAULT_DEADLINES.play)
    assert boot.deadlines(kernel(tmp_path, 30), DEFAULT_DEADLINES) == DEFAULT_DEADLINES
    for wrong in (["--memory", "much"], ["--memory", "0"], ["--boot-deadline", "0"]):
        with pytest.raises(SystemExit):
            parser.parse_args(wrong)


@pytest.mark.parametrize(
    ("release", "cold", "disks", "contents", "cloned"),
    [
        ("6.1.0-56-cloud-arm64", False, (), SHELL, True),
        ("5.10.0-32-cloud-arm64", False, (), SHELL, True),
        ("6.1.0-56-cloud-arm64", True, (), SHELL, False),
        ("6.1.0-56-cloud-arm64", False, (DISK,), SHELL, False),
        ("4.8.17", False, (), SHELL, False),
        ("4.8.17", False, (), boot.ONLY_MINIMAL, True),
    ],
)
def test_who_goes_on_from_a_snapshot(
    tmp_path: Path,
    release: str,
    cold: bool,
    disks: tuple[Disk, ...],
    contents: Contents,
    cloned: bool,
) -> None:
    one = made_up(tmp_path, release=release, cold=cold)
    assert boot.is_cloned(one, Config(disks=disks), contents) == cloned


def test_the_window_of_a_guest_that_cannot_be_told(tmp_path: Path) -> None:
    serial, virtio = kernel(tmp_path, 30), kernel(tmp_path / "virtio", 30, VIRTIO)
    window = cast(Terminal, SimpleNamespace(size=(30, 90)))
    assert list(shell.window(serial, window)) == ["LINES=30", "COLUMNS=90"]
    assert list(shell.window(virtio, window)) == []
