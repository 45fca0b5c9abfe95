# SPDX-License-Identifier: GPL-2.0-only
"""A run whose folders have names that mean something to make, to QEMU and to the shell."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.cases.catalog import Catalog
from harness.errors import Exit
from harness.guest import share
from harness.inspect.guest import booted
from harness.inspect.witness import Witness
from harness.kernel.kernel import Kernel
from harness.modules import build as modules
from harness.run import boot, repro
from harness.run.boot import Contents
from harness.run.plan import plays
from harness.vm.machine import Config, Disk


@pytest.mark.parametrize(
    "name",
    [pytest.param("a, b:c", marks=pytest.mark.full), "50%#'$x\"é" + "x" * 150],
)
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
    result = repro.run(kernel, built, plan, observer=Witness())
    assert result.exit_status is Exit.AGREES
    assert not list((tmp_path / name / "tmp").iterdir())


@pytest.mark.parametrize(
    "name",
    [
        "x = y",
        *(
            pytest.param(name, marks=pytest.mark.full)
            for name in ("2024", ".hidden", "Übersicht αβγδε", "-rf")
        ),
    ],
)
def test_any_folder_can_be_shared(
    kernel: Kernel, catalog: Catalog, tmp_path: Path, name: str
) -> None:
    folder, disks = tmp_path / name, tmp_path / 'a, b:json:{"x": 1}'
    folder.mkdir()
    disks.mkdir()
    (folder / "note").write_text("from the host")
    (shared,) = share.named([folder])
    share.pack(shared, disks / shared.name)
    config = Config(disks=(Disk(shared.name, disks / shared.name),))
    built = modules.build(kernel, catalog.select_cases(["stack-9"]))
    with booted(
        kernel, built, config, contents=Contents((boot.MINIMAL, "shell", "share"))
    ) as guest:
        assert guest.run(f"cat '/mnt/{shared.name}/note'").output == "from the host"
        # It cannot be written to, mounted or not.
        before = (disks / shared.name).read_bytes()
        assert guest.run("dd if=/dev/zero of=/dev/vda count=1 conv=fsync").status != 0
        assert (disks / shared.name).read_bytes() == before
