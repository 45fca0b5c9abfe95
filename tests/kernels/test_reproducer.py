# SPDX-License-Identifier: GPL-2.0-only
"""What `tracers --reproducer` writes is in the kernel's coding style."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from harness.abi.ctype import Composite
from harness.host import tool
from harness.reproducer import folder
from tests.unit.factory import case
from tests.unit.kernels import made_up
from tests.unit.test_reproducer import ALIGNED, CONFIG, finding, suitable

SECONDS = 300


def complaints(linux: Path, files: Sequence[Path]) -> list[str]:
    words: list[str | Path]
    words = ["perl", linux / "scripts/checkpatch.pl", "--no-tree", "--strict", "--terse", "-f"]
    done = tool.run([*words, *files], seconds=SECONDS)
    # The summary of a file without any is left out.
    found = [line for line in done.stdout.splitlines() if not line.startswith("total: ")]
    assert (done.returncode == 0) == (not found), done.stdout + done.stderr
    return found


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """The files of one folder, and the modules of all cases with types of their own."""
    (tmp_path / "config").write_text(CONFIG)
    kernel = made_up(tmp_path)
    folder.write(finding(kernel, case(ALIGNED)), tmp_path / "made")
    found = [path for path in (tmp_path / "made").iterdir() if path.name not in ("README",)]
    for made in suitable():
        if not any(isinstance(one, Composite) for one in made.types):
            continue
        path = tmp_path / f"{made.name}.c"
        path.write_text(folder.files(finding(kernel, made, "fmod-ret"))["reproducer.c"])
        found.append(path)
    return found


def test_checkpatch_finds_nothing(linux: Path, files: list[Path]) -> None:
    assert complaints(linux, files) == []
    # The positive control.
    path = next(path for path in files if path.name == "attach.c")
    path.write_text(path.read_text().replace("\tu32 i;\n", "    u32 i;\n", 1))
    assert complaints(linux, [path])
