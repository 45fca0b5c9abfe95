# SPDX-License-Identifier: GPL-2.0-only
"""
Debian's stock arm64 kernels, unmodified, with their exact headers.

The image, its headers and the host's kbuild are unpacked side by side and
never installed.  `struct module` must have the kernel's own size, so all come
from one revision.
"""

from __future__ import annotations

import re
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import msgspec

from harness import cache
from harness.catalog import KernelFile
from harness.errors import ArchiveError, InfrastructureError, UntrustedArchiveError
from harness.kernel.apt import Apt, Package, Progress, host_architecture, host_sources, unpack
from harness.kernel.kernel import Kernel, check_config, check_image
from harness.settings import Archive, Source

# Suffixes of a suite's sister archives.
_SUITE_SUFFIX = re.compile(r"-(security|updates|proposed-updates|backports)$")


@dataclass(frozen=True)
class Resolved:
    """The archive's last answer to which kernel is the newest."""

    # Seconds since the epoch.
    asked: float
    # Name of the cache entry.
    key: str


@dataclass(frozen=True)
class _Set:
    """The packages that make one kernel."""

    release: str
    image: Package
    headers: Package
    common: Package
    kbuild: Package
    busybox: Package

    @property
    def packages(self) -> list[Package]:
        return [self.image, self.headers, self.common, self.kbuild, self.busybox]

    @property
    def key(self) -> str:
        return "_".join(
            (self.image.file_stem, self.kbuild.architecture, self.busybox.version)
        ).replace(":", ".")


def _sources(archive: Archive, suites: list[str]) -> Archive:
    """The machine's archives, with the suites that carry the kernel."""
    sources = archive.sources or host_sources()
    if suites and not archive.sources:
        sources = [
            Source(
                uri=source.uri,
                keyring=source.keyring,
                suites=sorted(
                    {
                        suite + (match[0] if (match := _SUITE_SUFFIX.search(name)) else "")
                        for name in source.suites
                        for suite in suites
                    }
                ),
            )
            for source in sources
        ]
    return Archive(sources=sources, allow_expired=archive.allow_expired)


def _dependency(package: Package, prefix: str) -> str:
    """The name of the package that `package` depends on."""
    match = re.search(rf"(?:^|, )({prefix}[^ ,]*)", package.depends)
    if not match:
        raise ArchiveError(f"The package {package.name} does not depend on a {prefix}.")
    return match[1]


def _same_revision(apt: Apt, name: str, version: str) -> Package:
    for package in apt.versions(name):
        if package.version == version:
            return package
    raise ArchiveError(
        f"The archive has no {name} {version}, which this kernel's modules need.",
        "The archive may be half updated: try again later.",
    )


def _newest(apt: Apt, file: KernelFile) -> _Set:
    """The newest kernel of the series for which the archive has everything."""
    missing: ArchiveError | None = None
    for meta in apt.versions(f"linux-image-{file.flavour}-arm64"):
        if not meta.version.startswith(f"{file.series}."):
            continue
        try:
            return _complete(apt, meta)
        except ArchiveError as error:
            missing = missing or error
    raise missing or ArchiveError(
        f"The archive has no {file.flavour} kernel of the {file.series} series.",
        "Debian may have dropped it; see: jprobe-harness list kernels",
    )


def _complete(apt: Apt, meta: Package) -> _Set:
    """All packages of the kernel that a meta package names, of its revision."""
    image_name = _dependency(meta, "linux-image-")
    image = _same_revision(apt, image_name, meta.version)
    headers = _same_revision(
        apt, image_name.replace("linux-image-", "linux-headers-"), meta.version
    )
    common = _dependency(headers, "linux-headers-")
    kbuild = _dependency(headers, "linux-kbuild-")
    return _Set(
        release=image_name.removeprefix("linux-image-"),
        image=image,
        headers=headers,
        common=_same_revision(apt, common, meta.version),
        kbuild=_same_revision(apt, f"{kbuild}:{host_architecture()}", meta.version),
        busybox=apt.newest("busybox-static:arm64"),
    )


def _unpack(apt: Apt, packages: _Set, folder: Path, report: Progress) -> None:
    for package in apt.download(packages.packages, folder, report):
        report(f"unpacking {package.name.partition('_')[0]}", 0)
        unpack(package, folder / "root")
        package.unlink()
    (folder / "apt.log").unlink()
    # Debian's header trees name each other by absolute path.
    source = folder / "root/usr/src"
    makefile = source / packages.headers.name / "Makefile"
    makefile.write_text(f"include ../{packages.common.name}/Makefile\n")
    kernel = _kernel("", packages.release, packages.image.version, folder)
    check_image(kernel.image)
    check_config(packages.release, kernel.config)
    manifest = {"release": packages.release, "version": packages.image.version}
    (folder / "kernel.json").write_bytes(msgspec.json.encode(manifest))


def _kernel(spec: str, release: str, version: str, folder: Path) -> Kernel:
    root = folder / "root"
    return Kernel(
        spec=spec,
        release=release,
        version=version,
        image=root / f"boot/vmlinuz-{release}",
        config=root / f"boot/config-{release}",
        build=root / f"usr/src/linux-headers-{release}",
        modules=root / f"lib/modules/{release}",
        busybox=root / "bin/busybox",
        key=folder.name,
    )


def _cached(spec: str, key: str) -> Kernel | None:
    folder = cache.root() / "kernels" / key
    if not folder.is_dir():
        return None
    manifest = msgspec.json.decode((folder / "kernel.json").read_bytes())
    return _kernel(spec, manifest["release"], manifest["version"], folder)


def resolve(
    spec: str, file: KernelFile, archive: Archive, *, refresh: bool, report: Progress
) -> Kernel:
    """
    The newest kernel that `file` describes, from the cache or the archive.

    An archive that cannot be reached is an error only when the cache has no
    kernel of this description, or with `refresh`; one that fails its signature
    or checksums always is.
    """
    pointer = cache.root() / "resolved" / f"{spec.replace(':', '-')}.json"
    last: Kernel | None = None
    if pointer.exists():
        try:
            resolved = msgspec.json.decode(pointer.read_bytes(), type=Resolved)
        except msgspec.DecodeError:
            # A power cut may leave it empty; the archive is asked again.
            resolved = Resolved(0, "")
        last = _cached(spec, resolved.key) if resolved.key else None
        age = time.time() - resolved.asked
        if last and not refresh and age < archive.refresh_hours * 3600:
            return last
    try:
        with cache.lock(f"resolved/{pointer.stem}"):
            key = _ask(file, archive, report)
    except InfrastructureError as error:
        if last and not refresh and not isinstance(error, UntrustedArchiveError):
            return last
        raise
    cache.write(pointer, msgspec.json.encode(asdict(Resolved(time.time(), key))))
    kernel = _cached(spec, key)
    assert kernel is not None
    return kernel


def _ask(file: KernelFile, archive: Archive, report: Progress) -> str:
    """Ask the archive, fill the cache, and return the entry's name."""
    apt = Apt(
        cache.root() / "apt" / ("-".join(file.suites) or "host"),
        _sources(archive, file.suites),
        "arm64",
    )
    apt.folder.mkdir(parents=True, exist_ok=True)
    apt.update(report)
    packages = _newest(apt, file)
    cache.entry("kernels", packages.key, lambda folder: _unpack(apt, packages, folder, report))
    return packages.key
