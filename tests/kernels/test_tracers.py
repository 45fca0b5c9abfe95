# SPDX-License-Identifier: GPL-2.0-only
"""Today's probes on stock kernels with all drivers, which are configured and built differently."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

SECONDS = 3600


@pytest.mark.parametrize("series", ["6.1", "6.12", "7.2"])
def test_each_cell_is_as_predicted(series: str, tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    done = subprocess.run(
        ["jprobe-harness", "tracers", "--kernel", f"debian:{series}/generic", "--json", out],
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (kernel,) = json.loads(out.read_text())["kernels"]
    assert "cloud" not in kernel["release"]
    assert kernel["planned"] == len(kernel["cells"]) > 14 * 100
    assert {one["status"] for one in kernel["cells"]} == {"as predicted"}
    # A probe that a kernel lacks refuses all, so something has to be read by others.
    reads = {argument["read"] for one in kernel["cells"] for argument in one["arguments"]}
    assert {"right", "zero", "an address", "another's"} <= reads
