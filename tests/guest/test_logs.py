# SPDX-License-Identifier: GPL-2.0-only
"""The logs of a run are enough to boot its guest again."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from harness.guest.protocol import Parser
from harness.model.observation import Observation

SECONDS = 120


@pytest.fixture
def folder(tmp_path: Path, kernel: object, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of a user's run."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    words = ["--case", "stack-9", "--case", "by-ref-24", "--variant", "none", "--keep"]
    subprocess.run(["jprobe-harness", "repro", *words], check=True, timeout=SECONDS)
    done = subprocess.run(
        ["jprobe-harness", "runs", "--json", "-"], check=True, timeout=SECONDS, capture_output=True
    )
    (row,) = json.loads(done.stdout)["runs"]
    assert row["kept"]
    assert (row["about"]["planned"], row["about"]["agree"], row["about"]["status"]) == (2, 2, 0)
    assert row["about"]["qemu"].startswith("QEMU emulator version")
    return Path(row["folder"])


def seen(records: Path) -> list[tuple[str, bytes | None]]:
    found = Parser().feed(records.read_bytes())
    return [(r.line, r.area.seen) for r in found if isinstance(r, Observation)]


def test_the_guest_boots_again_as_its_script_stands(folder: Path) -> None:
    done = subprocess.run(
        [folder / "qemu-1.sh"], cwd="/", capture_output=True, timeout=SECONDS, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "reboot: Power down" in done.stdout
    first, again = seen(folder / "records-1"), seen(folder / "records-1.again")
    assert [line for line, _ in first] == ["stack-9 none 0", "by-ref-24 none 0"]
    assert again == first
