# SPDX-License-Identifier: GPL-2.0-only
"""Files of the cache that are cut short, changed or gone: they are made anew."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from tests.disks import read_only
from tests.faults.fault import Blame, Fault
from tests.faults.inject import both, built
from tests.faults.place import Place
from tests.faults.replay import replayed

# Damages a file. The file is a hard link to a sound one, and so has to be replaced.
Damage = Callable[[Path], None]


def _with(change: Callable[[bytes], bytes]) -> Damage:
    def damage(path: Path) -> None:
        data = path.read_bytes()
        path.unlink()
        path.write_bytes(change(data))

    return damage


def _flipped(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 0x10]) + data[middle + 1 :]


empty = _with(lambda data: b"")
half = _with(lambda data: data[: len(data) // 2])
flipped = _with(_flipped)


def removed(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()


def a_folder(path: Path) -> None:
    removed(path)
    path.mkdir()


def a_file(path: Path) -> None:
    removed(path)
    path.write_bytes(b"")


def damaged(pattern: str, damage: Damage) -> Callable[[Place], None]:
    """Damage every file that the pattern finds in the cache."""

    def inject(place: Place) -> None:
        found = list(place.cache.glob(pattern))
        assert found, pattern
        for path in found:
            damage(path)

    return inject


def unwritable(place: Place) -> None:
    """Mount the cache read-only."""
    place.prefix = read_only(place.cache)


def played_once(place: Place) -> None:
    """Run the command once, so that the cache has all that it makes."""
    ran = place.run()
    assert ran.status == 0, ran.output


def asked(place: Place) -> None:
    """Have the archive asked before the fault, and again after it."""
    built(place)
    place.words.append("--refresh")
    played_once(place)


def heals(
    name: str, pattern: str, damage: Damage, *before: Callable[[Place], None], full: bool = False
) -> Fault:
    """Return a fault in the cache that the command mends by making a file anew."""
    inject = both(Place.have_own_cache, *before, damaged(pattern, damage))
    return Fault(name, inject, says="in the cache is made anew: ", heals=True, full=full)


# None of these needs a guest that really boots.
_GUEST = "initramfs/[!.]*/initramfs"
_CHANNEL = "initramfs/[!.]*/channel"
_IMAGE = "debian/*/root/boot/vmlinuz-*"

FAULTS = (
    heals("half an initramfs", _GUEST, half, replayed()),
    heals("a bit of an initramfs", _GUEST, flipped, replayed(), full=True),
    heals("no initramfs", _GUEST, removed, replayed(), full=True),
    heals("an initramfs's channel that is empty", _CHANNEL, empty, replayed(), full=True),
    heals("a folder for an initramfs's channel", _CHANNEL, a_folder, replayed(), full=True),
    heals("a file for an initramfs's entry", "initramfs/[!.]*/", a_file, replayed(), full=True),
    heals("half an inventory", "initramfs/*/.inventory", half, replayed(), full=True),
    heals(
        "an entry of a version without inventories",
        "initramfs/*/.inv*",
        removed,
        replayed(),
        full=True,
    ),
    heals(
        "what is remembered of a file",
        "contents/*.json",
        flipped,
        replayed(),
        played_once,
        full=True,
    ),
    heals(
        "a folder for what is remembered",
        "contents/*.json",
        a_folder,
        replayed(),
        played_once,
        full=True,
    ),
    heals(
        "the cases' proofs that are empty", "proofs/*/private_copies.json", empty, built, full=True
    ),
    heals("half a module for the guest", "modules/*/guest/*.ko", half, built, full=True),
    heals("a bit of a module for GDB", "modules/*/probe-targets.ko", flipped, built, full=True),
    heals("half a kernel's image", _IMAGE, half, built, full=True),
    heals("a bit of a kernel's image", _IMAGE, flipped, built, full=True),
    heals("half a kernel.json", "debian/*/kernel.json", half, built, full=True),
    heals("no configuration", "debian/*/root/usr/src/*/.config", removed, built, full=True),
    heals("a bit of a header", "debian/*/root/usr/src/*/include/linux/list.h", flipped, full=True),
    heals("no driver", "debian/*/root/lib/modules/*/**/virtio_mmio.ko", removed, full=True),
    heals("which kernel is the newest, empty", "resolved/*.json", empty, built, full=True),
    heals("which kernel is the newest, a bit", "resolved/*.json", flipped, built, full=True),
    heals("half an index of packages", "apt/*/state/lists/*Packages*", half, asked, full=True),
    heals("a file for an index of packages", "apt/*/", a_file, asked, full=True),
    heals("a bit of busybox", "programs/*/root/bin/busybox", flipped, built, full=True),
    Fault(
        "a cache that can be read only",
        both(Place.have_own_cache, replayed(), played_once, unwritable),
    ),
    Fault(
        "damage in a cache that can be read only",
        both(Place.have_own_cache, replayed(), damaged(_GUEST, half), unwritable),
        Blame.MACHINE,
        "cannot be made anew: Read-only",
        full=True,
    ),
)
