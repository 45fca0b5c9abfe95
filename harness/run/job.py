# SPDX-License-Identifier: GPL-2.0-only
"""What a run needs, from what the user named."""

from __future__ import annotations

from harness import settings
from harness.catalog import Catalog
from harness.kernel import modules, spec
from harness.kernel.apt import Progress
from harness.kernel.kernel import Kernel
from harness.kernel.modules import Modules
from harness.kernel.spec import DEFAULTS, Options


def prepare(
    kernel_spec: str,
    catalog: Catalog,
    *,
    options: Options = DEFAULTS,
    report: Progress = lambda what, percent: None,
) -> tuple[Kernel, Modules]:
    """
    The kernel and the modules, from the cache if they are there.

    The modules carry every case of the catalog, so that the choice of cases
    does not lead to another build.
    """
    kernel = spec.resolve(kernel_spec, catalog, settings.load(), options=options, report=report)
    cases = list(catalog.cases.values())
    return kernel, modules.build(kernel, cases, compiler=options.compiler, report=report)
