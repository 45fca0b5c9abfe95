# SPDX-License-Identifier: GPL-2.0-only
"""What the plugin's options select."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import pytest

from harness import settings
from harness.cases.catalog import Catalog
from harness.kernel import spec
from harness.kernel.kernel import Kernel
from harness.kernel.options import Options
from harness.model.case import Case
from harness.model.policy import Variant
from harness.modules import build as modules
from harness.modules.build import Modules
from harness.plugin.options import destination
from harness.toolchain.compiler import named
from harness.toolchain.make import checked
from harness.tracers.catalog import select
from harness.tracers.tracer import Tracer


class Selection:
    """The kernels, variants, tracers and cases that the options select."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config

    def _option(self, name: str) -> Any:
        return self._config.getoption(destination(name))

    def check(self) -> None:
        """Raise ConfigError for a kernel, variant, tracer or case that does not exist."""
        self.check_kernels(self.kernels)
        self.variants()
        self.tracers()
        self.cases()

    def check_kernels(self, kernels: Sequence[str]) -> None:
        """Raise ConfigError for a spec that names no kernel."""
        for kernel in kernels:
            spec.check(kernel, self.catalog, settings.load(), options=self.options)

    @functools.cached_property
    def kernels(self) -> list[str]:
        """The specs that --kernel names, with patterns expanded."""
        given = self._option("kernel")
        return spec.expand(given, self.catalog) if given else []

    @functools.cached_property
    def catalog(self) -> Catalog:
        return Catalog(self._option("case-dir"))

    @functools.cached_property
    def options(self) -> Options:
        """What is asked of the kernels beside their specs."""
        return Options(
            compiler=named(self._option("cc")),
            modules_build=self._option("modules-build"),
            defconfig=self._option("defconfig"),
            fragments=tuple(self._option("kconfig")),
            memory_mib=self._option("memory"),
            boot_seconds=self._option("boot-deadline"),
            cold=self._option("cold"),
            make=checked(self._option("make")),
        )

    def variants(self) -> list[Variant]:
        return self.catalog.select_variants(self._option("variant"))

    @property
    def has_plays(self) -> bool:
        """Whether cases are played under variants: with a tracer, only where one is named."""
        return bool(self._option("variant") or not self._option("tracer"))

    def tracers(self) -> list[Tracer]:
        """Those that --tracer names, none without it."""
        given = self._option("tracer")
        return select(given) if given else []

    def cases(self) -> list[Case]:
        return self.catalog.select_cases(self._option("case"))

    def modules(self, kernel: Kernel) -> Modules:
        """Build modules with every case, so that another choice of cases needs no new build."""
        cases = list(self.catalog.cases.values())
        return modules.build(kernel, cases, compiler=self.options.compiler)


_SELECTION = pytest.StashKey[Selection]()


def selection_of(config: pytest.Config) -> Selection:
    """Return the session's own, made when it is first asked for."""
    if _SELECTION not in config.stash:
        config.stash[_SELECTION] = Selection(config)
    return config.stash[_SELECTION]
