# SPDX-License-Identifier: GPL-2.0-only
"""What --kernel takes, and the kernel that it means."""

from __future__ import annotations

from harness.catalog import Catalog, nearest
from harness.errors import ConfigError
from harness.kernel import debian
from harness.kernel.apt import Progress
from harness.kernel.kernel import Kernel
from harness.settings import Settings

DEFAULT = "debian:6.1"


def resolve(
    spec: str,
    catalog: Catalog,
    settings: Settings,
    *,
    refresh: bool = False,
    report: Progress = lambda what, percent: None,
) -> Kernel:
    """
    The kernel that `spec` names, fetched if need be.

    Raises ConfigError for an unknown name and ArchiveError when it cannot be had.
    """
    if spec not in catalog.kernels:
        raise ConfigError(
            f"There is no kernel '{spec}'.{nearest(spec, catalog.kernels)}",
            "See: jprobe-harness list kernels",
        )
    return debian.resolve(
        spec, catalog.kernels[spec], settings.archive, refresh=refresh, report=report
    )
