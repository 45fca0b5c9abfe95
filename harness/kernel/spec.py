# SPDX-License-Identifier: GPL-2.0-only
"""What --kernel takes, and the kernel that it means."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from harness.catalog import Catalog, KernelFile, nearest
from harness.errors import ConfigError
from harness.kernel import busybox, debian
from harness.kernel.apt import Progress
from harness.kernel.kernel import Kernel
from harness.settings import Settings

DEFAULT = "debian:6.1"
ALL = "debian:all"


@dataclass(frozen=True)
class Request:
    """A spec with all that may have a say in what it means."""

    spec: str
    kernels: Mapping[str, KernelFile]
    settings: Settings
    refresh: bool
    report: Progress


class Source(Protocol):
    """One kind of spec."""

    # As `list kernels` shows it.
    form: str
    shows: str
    needs: str

    def takes(self, request: Request) -> bool:
        """Whether a spec is of this kind."""

    def resolve(self, request: Request) -> Kernel:
        """The kernel; raises ConfigError, ArchiveError or BuildError."""


class Debian:
    """A stock kernel of the archive."""

    form = "debian:SERIES[/FLAVOUR], debian:RELEASE"
    shows = f"a series' newest stock kernel, as {', '.join(debian.FLAVOURS)}; or an exact one"
    needs = "a package archive; where the kernel's tools do not run here, mmdebstrap and bubblewrap"

    def takes(self, request: Request) -> bool:
        return debian.wanted(request.spec, request.kernels) is not None

    def resolve(self, request: Request) -> Kernel:
        archive = request.settings.archive
        wanted = debian.wanted(request.spec, request.kernels)
        assert wanted
        return debian.resolve(
            request.spec,
            wanted,
            archive,
            busybox.fetch(archive, request.report),
            refresh=request.refresh,
            report=request.report,
        )


SOURCES: tuple[Source, ...] = (Debian(),)


def expand(specs: Sequence[str], catalog: Catalog) -> list[str]:
    """The specs with each debian:all replaced by what the catalog has."""
    expanded: dict[str, None] = {}
    for spec in specs or [DEFAULT]:
        expanded.update(dict.fromkeys(catalog.kernels if spec == ALL else [spec]))
    return list(expanded)


def resolve(
    spec: str,
    catalog: Catalog,
    settings: Settings,
    *,
    refresh: bool = False,
    report: Progress = lambda what, percent: None,
) -> Kernel:
    """
    The kernel that `spec` names, fetched or built if need be.

    Raises ConfigError for an unknown name, ArchiveError when it cannot be had
    and BuildError when it does not build.
    """
    request = Request(spec, catalog.kernels, settings, refresh, report)
    for source in SOURCES:
        if source.takes(request):
            return source.resolve(request)
    raise ConfigError(
        f"There is no kernel '{spec}'.{nearest(spec, catalog.kernels)}",
        "See: jprobe-harness list kernels",
    )
