# SPDX-License-Identifier: GPL-2.0-only
"""
Debian's stock arm64 kernels, unmodified, with their exact headers.

The image, its headers and the host's kbuild are unpacked side by side and
never installed.  `struct module` must have the kernel's own size, so all come
from one revision.
"""

from __future__ import annotations

import contextlib
import platform
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import msgspec

from harness.archive.apt import Apt, Package, host_architecture, in_suites, unpack
from harness.archive.buildroot import BuildRoot
from harness.cases.schema import KernelFile
from harness.errors import ArchiveError, ConfigError, InfrastructureError, UntrustedArchiveError
from harness.host import blame, cache
from harness.kernel.image import check_raw
from harness.kernel.kernel import Kbuild, Kernel, check_config, numbers
from harness.settings import Archive
from harness.steps import notice, progress

T = TypeVar("T")

# The files of an entry that each run needs; the others are for builds.
VITAL = ("kernel.json", "*/vmlinuz*", "*/.config")
# The packages that depend on the newest kernel of each flavour.
FLAVOURS = {
    "cloud": "linux-image-cloud-arm64",
    "generic": "linux-image-arm64",
    "rt": "linux-image-rt-arm64",
    "16k": "linux-image-arm64-16k",
}


@dataclass(frozen=True)
class Wanted:
    """The Debian kernel that a spec names."""

    # The prefix of its versions.
    series: str
    # Suites of the archive that carry it.
    suites: list[str]
    # The package of a flavour, which depends on its newest kernel, or of an exact release.
    package: str


@dataclass(frozen=True)
class _Set:
    """The packages that make one kernel."""

    release: str
    # The image's package, and from 7.x on those that it depends on.
    image: list[Package]
    headers: Package
    common: Package
    kbuild: Package

    @property
    def packages(self) -> list[Package]:
        return [*self.image, self.headers, self.common, self.kbuild]

    @property
    def key(self) -> str:
        return f"{self.image[0].file_stem}_{self.kbuild.architecture}".replace(":", ".")


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """The content of kernel.json in a cache entry."""

    release: str
    version: str
    # Paths in the packages, below the folder that they are all unpacked to.
    image: str
    build: str
    modules: str
    # The package of the kernel's tools, and the glibc that they were linked with.
    kbuild: str
    libc: str
    # The compiler that the headers depend on: "gcc-16".
    compiler: str


def wanted(spec: str, kernels: Mapping[str, KernelFile]) -> Wanted | None:
    """
    Return the kernel that a spec names, or None for a spec that is not Debian's.

    A spec is debian:SERIES, debian:SERIES/FLAVOUR or debian:RELEASE.  Raises ConfigError for
    an unknown flavour.
    """
    name, _, flavour = spec.partition("/")
    if file := kernels.get(name):
        package = FLAVOURS.get(flavour or file.flavour)
        if package is None:
            raise ConfigError(
                f"There is no flavour '{flavour}'.",
                f"Debian's arm64 kernels come as {', '.join(FLAVOURS)}.",
            )
        return Wanted(file.series, file.suites, package)
    release = name.removeprefix("debian:")
    for file in kernels.values():
        if release.startswith(f"{file.series}.") and not flavour:
            return Wanted(file.series, file.suites, f"linux-image-{release}")
    return None


def _dependency(package: Package, prefix: str) -> str:
    """Return the name of the package beginning with `prefix` that `package` depends on."""
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


def _newest(apt: Apt, wanted: Wanted, use: Callable[[_Set], T]) -> T:
    """
    Return what `use` returns for the newest version for which the archive has all packages.

    An index may name packages whose file the archive no longer has, or does not have
    yet; `use` raises ArchiveError then.
    """
    missing: ArchiveError | None = None
    for package in apt.versions(wanted.package):
        if not package.version.startswith(f"{wanted.series}."):
            continue
        try:
            return use(_complete(apt, package))
        except UntrustedArchiveError:
            raise
        except ArchiveError as error:
            missing = missing or error
    raise missing or ArchiveError(
        f"The archive has no {wanted.package} of the {wanted.series} series.",
        "Debian may have dropped it; see: jprobe-harness list kernels",
    )


def _complete(apt: Apt, named: Package) -> _Set:
    """Return all packages of the kernel that a package is or depends on, of one revision."""
    version = named.version
    # A flavour's package depends on a release's, which has digits in its name.
    meta = not re.match(r"linux-image-\d", named.name)
    name = _dependency(named, r"linux-image-\d") if meta else named.name
    release = name.removeprefix("linux-image-")
    image = _same_revision(apt, name, version)
    parts = re.findall(rf"linux-(?:base|binary|modules)-{re.escape(release)}", image.depends)
    headers = _same_revision(apt, f"linux-headers-{release}", version)
    kbuild = _dependency(headers, "linux-kbuild-")
    return _Set(
        release=release,
        image=[image, *(_same_revision(apt, part, version) for part in parts)],
        headers=headers,
        common=_same_revision(apt, _dependency(headers, "linux-headers-"), version),
        kbuild=_same_revision(apt, f"{kbuild}:{host_architecture()}", version),
    )


def _unpack(apt: Apt, packages: _Set, folder: Path) -> None:
    for package in apt.download(packages.packages, folder):
        progress(f"unpacking {package.name.partition('_')[0]}", 0)
        unpack(package, folder / "root")
        package.unlink()
    (folder / "apt.log").unlink()
    root = folder / "root"
    image, build, modules = _places(root, packages.release)
    # Debian's header trees name each other by absolute path.
    makefile = build / "Makefile"
    text = makefile.read_text().replace("/usr/src", "$(SRC)")
    makefile.write_text(f"SRC := $(abspath $(dir $(lastword $(MAKEFILE_LIST)))..)\n{text}")
    manifest = Manifest(
        release=packages.release,
        version=packages.image[0].version,
        image=str(image.relative_to(root)),
        build=str(build.relative_to(root)),
        modules=str(modules.relative_to(root)),
        kbuild=packages.kbuild.name,
        libc=_dependency(packages.kbuild, r"libc6 \(>= ").partition(">= ")[2].rstrip(")"),
        compiler=_dependency(packages.headers, r"gcc-\d").removesuffix("-for-host"),
    )
    (folder / "kernel.json").write_bytes(msgspec.json.encode(manifest))
    check_raw(root / manifest.image)
    check_config(packages.release, root / manifest.build / ".config")


def _places(root: Path, release: str) -> tuple[Path, Path, Path]:
    """
    Return the image, the headers and the modules' folder, wherever the packages have them.

    Raises ArchiveError.
    """
    images = [*root.rglob(f"vmlinuz-{release}"), *root.rglob(f"modules/{release}/vmlinuz")]
    builds = [path.parent for path in root.rglob(f"linux-headers-{release}/Makefile")]
    modules = [path for path in root.rglob(f"modules/{release}") if path.is_dir()]
    for what, found in (("image", images), ("headers", builds), ("modules", modules)):
        if not found:
            raise ArchiveError(f"The packages of {release} have no {what} of that release.")
    return images[0], builds[0], modules[0]


def _kernel(
    spec: str, manifest: Manifest, folder: Path, busybox: Path, tools: BuildRoot | None
) -> Kernel:
    root = folder / "root"
    build = root / manifest.build
    compiler = manifest.compiler if tools else ""
    return Kernel(
        spec=spec,
        release=manifest.release,
        version=manifest.version,
        image=root / manifest.image,
        config=build / ".config",
        modules=root / manifest.modules,
        busybox=busybox,
        key=folder.name,
        entries=(folder,),
        kbuild=Kbuild(folder=build, home=root, root=tools, own_compiler=compiler),
    )


def _cached(spec: str, key: str, wanted: Wanted, archive: Archive, busybox: Path) -> Kernel | None:
    if not cache.has("debian", key):
        return None
    folder = cache.root() / "debian" / key
    try:
        manifest = msgspec.json.decode((folder / "kernel.json").read_bytes(), type=Manifest)
    except msgspec.MsgspecError:
        # Another version of the harness wrote it.
        cache.discard(folder)
        return None
    tools = None
    if numbers(platform.libc_ver()[1]) < numbers(manifest.libc):
        # This machine's C library is too old for the kernel's tools.
        tools = BuildRoot(tuple(wanted.suites), (manifest.kbuild,), archive)
    return _kernel(spec, manifest, folder, busybox, tools)


def resolve(
    spec: str,
    wanted: Wanted,
    archive: Archive,
    busybox: Path,
    *,
    refresh: bool,
) -> Kernel:
    """
    Return the newest kernel that is `wanted`, from the cache or the archive.

    An archive that cannot be reached is an error only when the cache has no
    kernel of this description, or with `refresh`; one that fails its signature
    or checksums always is.
    """
    pointer = cache.root() / "resolved" / f"{re.sub('[:/]', '-', spec)}.json"
    last: Kernel | None = None
    if known := cache.recall(pointer):
        last = _cached(spec, known["key"], wanted, archive, busybox)
        age = time.time() - known["asked"]
        if last and not refresh and age < archive.refresh_hours * 3600:
            return last
    try:
        with blame.explaining():
            key = _ask(wanted, archive)
            cache.note(pointer, asked=time.time(), key=key)
    except InfrastructureError as error:
        if last and not refresh and not isinstance(error, UntrustedArchiveError):
            return last
        if known and not last:
            error.add_note(f"The kernel that the cache has, {known['key']}, was damaged.")
        raise
    if known and not last and key != known["key"]:
        notice(
            f"debian/{known['key']} in the cache is damaged or gone, and no longer the archive's"
            f" newest; {key} takes its place."
        )
    kernel = _cached(spec, key, wanted, archive, busybox)
    if kernel is None:
        raise InfrastructureError(
            f"debian/{key} in the cache was removed while it was needed.", "Try again."
        )
    return kernel


@contextmanager
def _asked(wanted: Wanted, archive: Archive) -> Iterator[Apt]:
    """Lend an apt with a fresh index of the archive, locked against other processes."""
    name = "-".join(wanted.suites) or "host"
    with cache.lock(f"apt/{name}"):
        apt = Apt(cache.root() / "apt" / name, in_suites(archive, wanted.suites), "arm64")
        # apt itself does not recover from a damaged index.
        with cache.changing(apt.folder):
            apt.update()
        yield apt


def _ask(wanted: Wanted, archive: Archive) -> str:
    """Fetch the newest kernel into the cache, and return the name of its entry."""
    with _asked(wanted, archive) as apt:

        def fill(packages: _Set) -> str:
            cache.entry(
                "debian",
                packages.key,
                lambda folder: _unpack(apt, packages, folder),
                vital=VITAL,
            )
            return packages.key

        return _newest(apt, wanted, fill)


def releases(
    spec: str,
    kernels: Mapping[str, KernelFile],
    archive: Archive,
) -> list[str]:
    """
    Return the releases of a spec's series and flavour that the archive has, oldest first.

    They are named as by uname -r, "6.1.0-53-cloud-arm64".  A release is left out if one of its
    packages is missing, since an archive keeps images longer than their headers.  The list is
    empty for a spec that is not Debian's.  Raises ArchiveError.
    """
    found = wanted(spec, kernels)
    named = (package.removeprefix("linux-image-") for package in FLAVOURS.values())
    fitting = [name for name in named if found and found.package.endswith(f"-{name}")]
    if found is None or not fitting:
        return []
    flavour = max(fitting, key=len)
    release = rf"{re.escape(found.series)}\.\d[\w.+~]*(?:-\d+)?"
    with _asked(found, archive) as apt:
        images = apt.names(rf"linux-image-{release}-{flavour}")
        headers = [name.replace("image", "headers", 1) for name in images]
        commons = apt.names(rf"linux-headers-{release}-common.*")
        kbuilds = apt.names(rf"linux-kbuild-{re.escape(found.series)}.*")
        host = host_architecture()
        apt.learn([*images, *headers, *commons, *(f"{name}:{host}" for name in kbuilds)])
        whole = [packages for name in images if (packages := _whole(apt, name))]
    whole.sort(key=lambda packages: numbers(packages.image[0].version))
    return [packages.release for packages in whole]


def _whole(apt: Apt, name: str) -> _Set | None:
    """Return the newest revision of an image for which the archive has all packages, or None."""
    for package in apt.versions(name):
        with contextlib.suppress(ArchiveError):
            return _complete(apt, package)
    return None
