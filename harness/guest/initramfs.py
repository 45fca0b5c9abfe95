# SPDX-License-Identifier: GPL-2.0-only
"""The guest's root file system: busybox, the modules and the files of a recipe."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

from harness import resources
from harness.errors import ConfigError
from harness.guest import cpio
from harness.guest.recipe import Recipe
from harness.host import cache
from harness.kernel.kernel import Bootable, module_order, read_module
from harness.modules import signing
from harness.modules.build import Modules

# The drivers that a guest needs for a separate record channel.
VIRTIO_SERIAL = ("virtio_mmio", "virtio_console")
# Our own sources that decide on the result, besides the files that go in.
MAKERS = ("guest/initramfs.py", "guest/cpio.py")
_DIRECTORIES = ("bin", "dev", "etc", "lib", "lib/modules", "proc", "sys")


class Channel(enum.Enum):
    """The device that the guest writes its records to."""

    # A pattern, since the port's number depends on the other virtio devices.
    VIRTIO = "/dev/vport*p1"
    # For kernels without virtio; the kernel's own messages come on the same line.
    SERIAL = "/dev/ttyAMA0"


def _base(kernel: Bootable, files: Mapping[str, bytes]) -> list[cpio.Entry]:
    parents = {str(parent) for path in files for parent in PurePosixPath(path).parents} - {"."}
    return [
        *(cpio.directory(name) for name in sorted({*_DIRECTORIES, *parents})),
        cpio.character_device("dev/console", 5, 1),
        cpio.file("bin/busybox", kernel.busybox.read_bytes(), executable=True),
        *(cpio.file(path, data, executable=_is_program(data)) for path, data in files.items()),
    ]


def _is_program(data: bytes) -> bool:
    return data.startswith((b"#!", b"\x7fELF"))


def _name(module: Path) -> str:
    """Return a module's file name without the suffix of a compression."""
    return module.name.partition(".ko")[0] + ".ko"


def _names(modules: Sequence[Path], parameters: Mapping[str, str] = {}) -> bytes:
    """Return what the guest's setup reads: a module on each line, and its parameters."""
    names = [_name(path) for path in modules]
    return "".join(f"{name} {parameters.get(name, '')}".rstrip() + "\n" for name in names).encode()


def _drivers(kernel: Bootable, recipe: Recipe) -> list[Path]:
    order = module_order(kernel, recipe.drivers)
    if order is None:
        options = ", ".join(f"CONFIG_{name.upper()}" for name in recipe.drivers)
        raise ConfigError(
            f"The kernel {kernel.spec} lacks one of {options}, built in or as a module.",
            "Build a source tree with them: --kconfig bench",
        )
    return order


def channel_of(kernel: Bootable) -> Channel:
    """Return the best channel that a kernel has for records."""
    return Channel.SERIAL if module_order(kernel, VIRTIO_SERIAL) is None else Channel.VIRTIO


def build(
    kernel: Bootable,
    files: Sequence[Path],
    recipe: Recipe,
    channel: Channel | None = None,
    programs: Sequence[Path] = (),
) -> tuple[bytes, Channel]:
    """
    Return an initramfs that loads `files` and runs the recipe's init, and the channel it uses.

    `programs` are in its /bin, too.  The channel is virtio where the kernel has it, unless
    `channel` is given.  The plan is not part of it: append plan().  Equal inputs give equal
    bytes.  Raises ConfigError for a kernel that lacks a driver.
    """
    kernel.mend()
    virtio = None if channel is Channel.SERIAL else module_order(kernel, VIRTIO_SERIAL)
    channel = Channel.SERIAL if virtio is None else Channel.VIRTIO
    drivers = [path for path in _drivers(kernel, recipe) if path not in (virtio or ())]
    modules = [*(virtio or ()), *drivers, *files]
    # Others print on a serial line, too.
    parameters = {"probe-targets.ko": "hex=1"} if channel is Channel.SERIAL else {}
    return (
        cpio.archive(
            [
                *_base(kernel, recipe.files),
                *(cpio.file(f"bin/{p.name}", p.read_bytes(), executable=True) for p in programs),
                cpio.file("etc/modules", _names(files, parameters)),
                cpio.file("etc/modules.channel", _names(virtio or ())),
                cpio.file("etc/modules.drivers", _names(drivers)),
                cpio.file("etc/channel", f"{channel.value}\n".encode()),
                *(
                    cpio.file(f"lib/modules/{_name(path)}", signing.signed(kernel, data))
                    for path, data in ((path, read_module(path)) for path in modules)
                ),
            ]
        ),
        channel,
    )


def bare(kernel: Bootable) -> bytes:
    """Return an initramfs that powers off at once, for comparison."""
    init = b"#!/bin/busybox sh\nexec /bin/busybox poweroff -f\n"
    return cpio.archive(_base(kernel, {"init": init}))


def plan(lines: Sequence[str]) -> bytes:
    """
    Return a second archive, to append to the first one in the initrd.

    The guest plays it by itself.
    """
    return cpio.archive([cpio.file("plan", "".join(f"{line}\n" for line in lines).encode())])


def cached(
    kernel: Bootable, modules: Modules, recipe: Recipe, channel: Channel | None = None
) -> tuple[bytes, Channel]:
    """Return what build() does for the test modules, from the cache."""

    def make(folder: Path) -> None:
        data, used = build(kernel, modules.files, recipe, channel, modules.programs)
        (folder / "initramfs").write_bytes(data)
        (folder / "channel").write_text(used.name)

    # Checking all files at each boot of a session would take too long.
    if not all(cache.is_whole(folder) for folder in kernel.entries):
        kernel.mend()
    wanted = channel.name if channel else ""
    makers = resources.own_sources(MAKERS)
    inside = (kernel.key, cache.content(kernel.busybox), modules.key, recipe.stamp)
    key = cache.digest(*inside, wanted, *makers)
    folder = cache.entry("initramfs", key, make)
    used = Channel[(folder / "channel").read_text()]
    return (folder / "initramfs").read_bytes(), used
