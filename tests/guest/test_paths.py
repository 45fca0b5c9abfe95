# SPDX-License-Identifier: GPL-2.0-only
"""A run whose folders have names that mean something to make, to QEMU and to the shell."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.catalog import Catalog
from harness.errors import Exit
from harness.kernel import modules
from harness.kernel.kernel import Kernel
from harness.run import repro
from harness.run.plan import plays


@pytest.mark.parametrize("name", ["a, b:c", "50%#'$x\"é" + "x" * 150])
def test_any_folder_will_do(
    kernel: Kernel, catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    (tmp_path / name / "tmp").mkdir(parents=True)
    for variable in ("XDG_CACHE_HOME", "XDG_STATE_HOME"):
        monkeypatch.setenv(variable, str(tmp_path / name))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / name / "tmp"))
    monkeypatch.setenv("TMPDIR", str(tmp_path / name / "tmp"))
    chosen = catalog.select_cases(["stack-9"])
    built = modules.build(kernel, chosen)
    plan = plays(catalog.select_variants(["none", "fixed-64"]), chosen)
    result = repro.run(kernel, built, plan, witness=True)
    assert result.exit_status is Exit.AGREES
    assert not list((tmp_path / name / "tmp").iterdir())
