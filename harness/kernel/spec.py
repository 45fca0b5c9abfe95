# SPDX-License-Identifier: GPL-2.0-only
"""Finds the kernel that a spec, the value of --kernel, names."""

from __future__ import annotations

import contextlib
import functools
import platform
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from harness.archive import plain, programs
from harness.cases.catalog import Catalog
from harness.cases.schema import KernelFile
from harness.errors import ConfigError, UnfitTree, nearest
from harness.host import cache, home
from harness.kernel import ALL, DEFAULT, debian, tree
from harness.kernel.kernel import Kernel
from harness.kernel.options import DEFAULTS, Options
from harness.model.policy import NO_CHANGES
from harness.settings import Settings


@dataclass(frozen=True)
class Request:
    """A spec, with everything that decides which kernel it names."""

    spec: str
    kernels: Mapping[str, KernelFile]
    settings: Settings
    options: Options

    @property
    def path(self) -> Path:
        return home.resolved(self.spec)

    @property
    def at(self) -> tuple[Path, str]:
        """The path, and the revision of PATH@REV or an empty string."""
        if self.path.exists():
            return self.path, ""
        from harness.kernel.changes import is_repository

        # A folder's name may contain "@", and so may a revision, as in HEAD@{1}.
        ends = [at.start() for at in re.finditer("@", self.spec)]
        splits = [(home.resolved(self.spec[:end]), self.spec[end + 1 :]) for end in ends if end]
        found = [split for split in splits if split[0].is_dir()]
        repositories = [split for split in found if is_repository(split[0])]
        return next(iter(repositories or found), (self.path, ""))

    @property
    def modules_build(self) -> Path | None:
        build = self.options.modules_build
        return build and home.resolved(build)

    def busybox(self) -> Path:
        """Return the path of the guest's busybox."""
        return programs.busybox(self.settings.archive)


class SpecKind(Protocol):
    """One kind of spec."""

    # The form, what it stands for and what it needs, as `list kernels` shows them.
    form: str
    shows: str
    needs: str
    # Whether it is built here, so that it can be changed first.
    built_here: bool

    def takes(self, request: Request) -> bool:
        """Return whether a spec is of this kind."""

    def check(self, request: Request) -> None:
        """Raise ConfigError or UnfitTree for errors found without fetching or building."""

    def resolve(self, request: Request) -> Kernel:
        """Return the kernel; raise ConfigError, ArchiveError or UnfitTree."""


class Debian:
    """A stock kernel of Debian's archive."""

    form = "debian:SERIES[/FLAVOUR], debian:RELEASE"
    shows = f"a series' newest stock kernel, as {', '.join(debian.FLAVOURS)}; or an exact one"
    needs = "a package archive; where the kernel's tools do not run here, mmdebstrap and bubblewrap"
    built_here = False

    def takes(self, request: Request) -> bool:
        return debian.wanted(request.spec, request.kernels) is not None

    def check(self, request: Request) -> None:
        """Check nothing: only the archive knows whether it has the kernel."""

    def may_need_root(self, request: Request) -> bool:
        """Return whether its modules may need a compiler of another suite than this machine's."""
        wanted = debian.wanted(request.spec, request.kernels)
        try:
            own = platform.freedesktop_os_release().get("VERSION_CODENAME", "")
        except OSError:
            own = ""
        return bool(wanted and wanted.suites and own not in wanted.suites)

    def resolve(self, request: Request) -> Kernel:
        archive = request.settings.archive
        wanted = debian.wanted(request.spec, request.kernels)
        assert wanted
        return debian.resolve(
            request.spec,
            wanted,
            archive,
            request.busybox(),
            refresh=request.options.refresh,
        )


# What a kernel that is not built here must have been configured with.
_OPTIONS = "MODULES, KPROBES, VMAP_STACK, DEBUG_FS"


class ImageSpec:
    """A user's kernel image."""

    form = "PATH/TO/Image (raw, gzip, EFI zboot) or vmlinux"
    shows = "a kernel that was built elsewhere"
    needs = f"--modules-build DIR: where it was built, or its headers; {_OPTIONS}"
    built_here = False

    def takes(self, request: Request) -> bool:
        return request.path.is_file()

    def check(self, request: Request) -> None:
        # Not needed for a stock kernel, and slow to import.
        from harness.kernel import local

        local.check_image(request.spec, request.path, request.modules_build)

    def resolve(self, request: Request) -> Kernel:
        from harness.kernel import local

        return local.from_image(
            request.spec, request.path, request.modules_build, request.busybox()
        )


class OutputSpec:
    """A folder that a kernel was built in."""

    form = "PATH/TO/build"
    shows = "a kernel that was built there (make O=)"
    needs = f"its Image and Module.symvers; {_OPTIONS}"
    built_here = False

    def takes(self, request: Request) -> bool:
        return tree.is_output(request.path)

    def check(self, request: Request) -> None:
        from harness.kernel import local

        local.check_image(request.spec, local.built_image(request.path), request.path)

    def resolve(self, request: Request) -> Kernel:
        from harness.kernel import local

        return local.from_output(request.spec, request.path, request.busybox())


class TreeSpec:
    """A source tree."""

    form = "PATH/TO/linux, PATH@REV"
    shows = "a source tree, built here with configs/kconfig and each --kconfig; never written to"
    needs = "a compiler for arm64 and one for this machine, make, bc, flex, bison; minutes, once"
    built_here = True

    def takes(self, request: Request) -> bool:
        path, revision = request.at
        return path.is_dir() if revision else tree.is_source(path)

    def check(self, request: Request) -> None:
        from harness.kernel import local

        path, revision = request.at
        local.check_tree(request.spec, path, revision, request.options)

    def resolve(self, request: Request) -> Kernel:
        from harness.kernel import local

        path, revision = request.at
        return local.from_tree(
            request.spec,
            local.opened(path, revision),
            request.busybox(),
            request.options,
        )


SOURCES: tuple[SpecKind, ...] = (Debian(), ImageSpec(), OutputSpec(), TreeSpec())


def _refuse_tree_options(request: Request) -> None:
    """Raise ConfigError where options for source trees are given for another kind of kernel."""
    options = request.options
    configured = options.defconfig or options.fragments
    if configured or options.changes != NO_CHANGES or options.carried != "any":
        raise ConfigError(
            f"{request.spec} is not a source tree, and cannot be changed.",
            "--defconfig, --kconfig, --patch, --set, --exact and the variants 'tree' and"
            " 'patch:FILE' need one.",
        )


def expand(specs: Sequence[str], catalog: Catalog) -> list[str]:
    """Return the specs, with each debian:all replaced by all kernels of the catalog."""
    expanded: dict[str, None] = {}
    for spec in specs or [DEFAULT]:
        expanded.update(dict.fromkeys(catalog.kernels if spec == ALL else [spec]))
    return list(expanded)


def resolve(
    spec: str,
    catalog: Catalog,
    settings: Settings,
    *,
    options: Options = DEFAULTS,
) -> Kernel:
    """
    Return the kernel that `spec` names, fetched or built if need be.

    Raises ConfigError for an unknown name, ArchiveError where the kernel cannot be
    fetched, and UnfitTree where it does not build.
    """
    plain.check(cache.root())
    request = Request(spec, catalog.kernels, settings, options)
    source = _source(request)
    try:
        kernel = source.resolve(request)
    except cache.DamagedEntry:
        kernel = source.resolve(request)
    return replace(
        kernel,
        variables=options.make,
        memory_mib=options.memory_mib,
        boot_seconds=options.boot_seconds,
        cold=options.cold,
        renew=functools.partial(source.resolve, request),
    )


def check(spec: str, catalog: Catalog, settings: Settings, *, options: Options = DEFAULTS) -> None:
    """
    Check a spec as far as that is possible without fetching or building anything.

    Raises ConfigError where the request cannot lead to a kernel with modules.  Errors
    in a source tree itself are left to its build.
    """
    request = Request(spec, catalog.kernels, settings, options)
    source = _source(request)
    if request.modules_build and not request.modules_build.is_dir():
        raise ConfigError(f"--modules-build: there is no directory {options.modules_build}.")
    with contextlib.suppress(UnfitTree):
        source.check(request)
    if not (isinstance(source, Debian) and source.may_need_root(request)):
        # Raises an error that names a missing compiler.
        _ = options.compiler.stamp


def _source(request: Request) -> SpecKind:
    """Return the kind of a request; raise ConfigError if it has none or cannot be changed."""
    for source in SOURCES:
        if source.takes(request):
            if not source.built_here:
                _refuse_tree_options(request)
            return source
    raise _unknown(request)


def _unknown(request: Request) -> ConfigError:
    """Return the error for a spec that is of no kind."""
    spec = request.spec
    if "/" in spec and not spec.startswith("debian:"):
        return ConfigError(
            f"{spec} is neither a kernel image nor a kernel's source or output tree.",
            "See: jprobe-harness list kernels",
        )
    return ConfigError(
        f"There is no kernel '{spec}'.{nearest(spec, request.kernels)}",
        "See: jprobe-harness list kernels",
    )


def has_own_jprobes(spec: str, catalog: Catalog, settings: Settings) -> bool:
    """Return whether a spec names a source tree that has jprobes of its own."""
    request = Request(spec, catalog.kernels, settings, DEFAULTS)
    if not TreeSpec().takes(request) or debian.wanted(spec, catalog.kernels):
        return False
    from harness.kernel import local, native

    path, revision = request.at
    return native.detect(local.opened(path, revision)) is not None
