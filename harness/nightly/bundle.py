# SPDX-License-Identifier: GPL-2.0-only
"""
The files of a kernel that a boot or a survey needs, for a machine without them.

Files are sent and cached under the SHA-256 of their content: a file in the cache is never
fetched again, whichever kernel, nightly run or process it came for.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import msgspec

from harness.errors import InfrastructureError
from harness.guest import recipe
from harness.guest.initramfs import VIRTIO_SERIAL
from harness.host import cache
from harness.kernel.kernel import Bootable, Engine, module_order
from harness.modules.build import TRACE, Modules
from harness.modules.storeproof import PRIVATE_COPIES
from harness.nightly.unit import Bundle
from harness.prototypes import source
from harness.prototypes.source import Files
from harness.run.boot import MINIMAL

# How many bundles, and how many files, a worker keeps; the largest file is a kernel's image.
KEPT = 200
_BLOB = "blob"
# What source.kept_modules() returns.
_PROTOTYPES = "prototypes/modules"
# A bundle, and where on this machine the files are that it names, by digest.
Packed = tuple[Bundle, dict[str, Path]]


def pack(kernel: Bootable, modules: Modules) -> Packed:
    """Return a bundle with a kernel's test modules."""
    kernel.mend()
    test_modules = {
        **{f"modules/guest/{path.name}": path for path in (*modules.files, *modules.programs)},
        "modules/compiler": modules.folder / "compiler",
        f"proof/{PRIVATE_COPIES}": modules.proof / PRIVATE_COPIES,
    }
    return _pack(kernel, test_modules, modules.key)


def pack_survey(kernel: Bootable) -> Packed:
    """Return a bundle with the prototypes of all functions, and without test modules."""
    kernel.mend()
    files = source.of_kernel(kernel)
    # A vmlinux may have them where the Image does not.
    vmlinux = {f"kernel/modules/{path.name}": path for path in files.images[1:]}
    return _pack(kernel, {_PROTOTYPES: source.kept_modules(files), **vmlinux}, "")


def _pack(kernel: Bootable, more: Mapping[str, Path], modules_key: str) -> Packed:
    files = {
        "kernel/Image": kernel.image,
        "kernel/config": kernel.config,
        "kernel/busybox": kernel.busybox,
        **{f"kernel/modules/{path.name}": path for path in _drivers(kernel)},
        **more,
    }
    digests = {name: _digest(path.read_bytes()) for name, path in files.items()}
    bundle = Bundle(
        spec=kernel.spec,
        release=kernel.release,
        version=kernel.version,
        key=kernel.key,
        engine=kernel.engine.value,
        jprobes=kernel.jprobes,
        own_policy=kernel.own_policy,
        make=[*kernel.variables],
        modules_key=modules_key,
        files=digests,
    )
    return bundle, {digests[name]: path for name, path in files.items()}


def _drivers(kernel: Bootable) -> list[Path]:
    wanted = (VIRTIO_SERIAL, recipe.load(MINIMAL).drivers)
    return [path for names in wanted for path in module_order(kernel, names) or ()]


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def lacks(bundle: Bundle) -> list[str]:
    """Return the digests of the files that this machine does not have yet."""
    return [digest for digest in bundle.files.values() if not cache.has("blobs", digest)]


def keep(digest: str, data: bytes) -> None:
    """Store a file for unpack(); raises InfrastructureError if it is damaged."""
    if _digest(data) != digest:
        raise InfrastructureError(
            f"A file was damaged on its way: it is not {digest[:12]}.",
            "Go on with the nightly run: --resume",
        )
    cache.entry("blobs", digest, lambda folder: _write(folder, data))


def _write(folder: Path, data: bytes) -> None:
    (folder / _BLOB).write_bytes(data)


def unpack(bundle: Bundle) -> tuple[Bootable, Modules]:
    """The kernel and its modules, as far as a boot needs them; all files must be there."""
    kernel, home = _unpack(bundle)
    traced = f"modules/guest/{TRACE}" in bundle.files
    modules = Modules(home / "modules", bundle.modules_key, home / "proof", kernel.engine, traced)
    return kernel, modules


def unpack_survey(bundle: Bundle) -> tuple[Bootable, Files]:
    """The kernel, and the files with its prototypes; all files must be there."""
    kernel, home = _unpack(bundle)
    return kernel, replace(source.of_kernel(kernel), modules=home / _PROTOTYPES)


def _unpack(bundle: Bundle) -> tuple[Bootable, Path]:
    """Return the kernel, and the folder with all files by their names in the bundle."""

    def make(folder: Path) -> None:
        for name, digest in bundle.files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            os.link(cache.root() / "blobs" / digest / _BLOB, path)

    key = cache.digest(msgspec.json.encode(bundle))
    home = cache.used(cache.entry("bundles", key, make))
    for kind in ("bundles", "blobs"):
        cache.trim(kind, KEPT)
    kernel = Bootable(
        spec=bundle.spec,
        release=bundle.release,
        version=bundle.version,
        image=home / "kernel/Image",
        config=home / "kernel/config",
        modules=home / "kernel/modules",
        busybox=home / "kernel/busybox",
        key=bundle.key,
        engine=Engine(bundle.engine),
        jprobes=bundle.jprobes,
        own_policy=bundle.own_policy,
        variables=tuple(bundle.make),
    )
    return kernel, home
