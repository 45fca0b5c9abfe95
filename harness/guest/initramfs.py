# SPDX-License-Identifier: GPL-2.0-only
"""The guest's root file system: busybox, the modules and a small init."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from pathlib import Path

from harness import cache, resources
from harness.guest import cpio
from harness.kernel.kernel import Kernel, module_order, read_module

# What a guest needs for a record channel of its own.
VIRTIO_SERIAL = ("virtio_mmio", "virtio_console")
_DIRECTORIES = ("bin", "dev", "etc", "lib", "lib/modules", "proc", "sys")


class Channel(enum.Enum):
    """The device that the guest writes its records to."""

    VIRTIO = "/dev/vport0p1"
    # For kernels without virtio; the kernel's own messages come there too.
    SERIAL = "/dev/ttyAMA0"


def _base(kernel: Kernel, init: bytes) -> list[cpio.Entry]:
    return [
        *(cpio.directory(name) for name in _DIRECTORIES),
        cpio.character_device("dev/console", 5, 1),
        cpio.file("bin/busybox", kernel.busybox.read_bytes(), executable=True),
        cpio.file("init", init, executable=True),
    ]


def _name(module: Path) -> str:
    """Without the suffix of a compression."""
    return module.name.partition(".ko")[0] + ".ko"


def _names(modules: Sequence[Path]) -> bytes:
    return "".join(f"{_name(path)}\n" for path in modules).encode()


def minimal(
    kernel: Kernel, files: Sequence[Path], init: bytes | None = None
) -> tuple[bytes, Channel]:
    """
    An initramfs that loads `files` and plays /plan, and the channel it uses.

    The plan is not in it; append plan().  Equal inputs give equal bytes.
    """
    virtio = module_order(kernel, VIRTIO_SERIAL)
    channel = Channel.VIRTIO if virtio is not None else Channel.SERIAL
    modules = [*(virtio or ()), *files]
    if init is None:
        init = (resources.images() / "minimal/init").read_bytes()
    return (
        cpio.archive(
            [
                *_base(kernel, init),
                cpio.file("etc/modules", _names(files)),
                cpio.file("etc/modules.channel", _names(virtio or ())),
                cpio.file("etc/channel", f"{channel.value}\n".encode()),
                *(cpio.file(f"lib/modules/{_name(path)}", read_module(path)) for path in modules),
            ]
        ),
        channel,
    )


def bare(kernel: Kernel) -> bytes:
    """An initramfs that powers off at once, for comparison."""
    init = b"#!/bin/busybox sh\nexec /bin/busybox poweroff -f\n"
    return cpio.archive(_base(kernel, init))


def plan(lines: Sequence[str], name: str = "plan") -> bytes:
    """
    A further archive, to follow the other one in the initrd.

    Under another name than its own, the plan is not played until the guest is told.
    """
    return cpio.archive([cpio.file(name, "".join(f"{line}\n" for line in lines).encode())])


def cached_minimal(kernel: Kernel, files: Sequence[Path], key: str) -> tuple[bytes, Channel]:
    """minimal(), from the cache; `key` names the modules' content."""
    init = (resources.images() / "minimal/init").read_bytes()

    def make(folder: Path) -> None:
        data, channel = minimal(kernel, files, init)
        (folder / "initramfs").write_bytes(data)
        (folder / "channel").write_text(channel.name)

    folder = cache.entry(
        "initramfs", cache.digest(kernel.key, str(kernel.busybox), key, init), make
    )
    channel = Channel[(folder / "channel").read_text()]
    return (folder / "initramfs").read_bytes(), channel
