# SPDX-License-Identifier: GPL-2.0-only
"""Nightly runs that are sabotaged."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from harness import resources
from harness.errors import Exit
from harness.nightly.unit import Done

SECONDS = 300
CASES = ["stack-9", "stack-25", "stack-8"]
VARIANTS = ["none", "fixed-64", "fixed-128"]
MATRIX = {
    "shows": "a test",
    "kernels": ["debian:5.10", "debian:6.1"],
    "cases": CASES,
    "variants": VARIANTS,
}


def written(folder: Path, **fields: Any) -> Path:
    file = folder / "night.yaml"
    file.write_text(json.dumps(MATRIX | fields))
    return file


def command(file: Path, url: str, *words: str) -> list[str]:
    return [sys.executable, "-m", "harness.cli", "nightly", str(file), "--store", url, *words]


def play(
    file: Path, url: str, *words: str, project: Path | None = None
) -> tuple[int, str, dict[str, Any]]:
    """Status, what is reported, and the document."""
    out = file.with_name("out.json")
    done = subprocess.run(
        [*command(file, url, *words), "--json", str(out)],
        capture_output=True, text=True, timeout=SECONDS, cwd=project,
    )  # fmt: skip
    document = json.loads(out.read_text()) if out.exists() else {}
    return done.returncode, done.stdout + done.stderr, document


def broken(folder: Path, name: str, *changes: tuple[str, str]) -> Path:
    """Copy the project into `folder`, to be run from there, with changes to one file."""
    skip = shutil.ignore_patterns("__pycache__")
    shutil.copytree(resources.PACKAGE, folder / "harness", ignore=skip)
    if resources.data_root().parent != resources.PACKAGE:
        for part in (resources.configs(), resources.kernel_modules(), resources.images()):
            shutil.copytree(part, folder / part.name, ignore=skip)
    (file,) = folder.rglob(name)
    text = file.read_text()
    for old, new in changes:
        assert text.count(old) == 1, f"{old!r} is {text.count(old)} times in {name}"
        text = text.replace(old, new)
    file.write_text(text)
    return folder


def sabotaged(folder: Path) -> Path:
    """One in which a policy of 128 bytes saves 64."""
    change = ("return min(size, depth);", "return min(size == 128 ? 64 : size, depth);")
    return broken(folder, "stack_policy.h", change)


def test_a_sabotaged_policy_is_named_cell_by_cell(tmp_path: Path) -> None:
    file, url = written(tmp_path), f"sqlite:///{tmp_path}/history.sqlite"
    status, reported, first = play(file, url)
    assert (status, first["regressions"]) == (Exit.AGREES, []), reported
    status, reported, _ = play(file, url, "--accept", "the first one")
    assert status == Exit.AGREES, reported

    project = sabotaged(tmp_path / "project")
    status, reported, second = play(file, url, project=project)
    assert status == Exit.DIFFERS, reported
    assert {(one["kernel"], one["variant"], one["case"]) for one in second["regressions"]} == {
        (kernel, "fixed-128", case) for kernel in MATRIX["kernels"] for case in CASES
    }
    # Eight of its seventeen words were saved, in place of sixteen.
    assert "debian:6.1, fixed-128 x stack-25: leak 8 -> leak 72" in reported
    assert "corrupt: argument 16: byte 0 to 7; " in reported
    # All that differs are the bytes that were saved.
    assert "stack-8: intact, as predicted -> intact, not as predicted" in reported
    assert "64 bytes were saved, predicted 128" in reported
    assert "corrupt: nothing" not in reported
    assert "6 regressions against nightly run 1, accepted by" in reported
    # It was the modules, so all is well without the sabotage.
    status, reported, third = play(file, url)
    assert (status, third["regressions"]) == (Exit.AGREES, []), reported


def test_a_tracer_that_reads_otherwise(tmp_path: Path) -> None:
    """What the kernel does not have is as predicted, and the same each night."""
    file = written(tmp_path, kernels=["debian:6.1"], tracers=["kprobe", "fexit"])
    url = f"sqlite:///{tmp_path}/history.sqlite"
    status, reported, first = play(file, url)
    assert (status, first["regressions"]) == (Exit.AGREES, []), reported
    (unit,) = [one for one in first["units"] if one["tracers"]]
    assert [(one["tracer"], one["agree"], one["refused"]) for one in unit["tracers"]] == [
        ("fexit", 3, 3), ("kprobe", 3, 0),
    ]  # fmt: skip
    status, reported, _ = play(file, url, "--accept", "the first one")
    assert status == Exit.AGREES, reported

    change = ("bits = read[fetch.name] &", "bits = read[fetch.name] + 1 &")
    project = broken(tmp_path / "project", "events.py", change)
    status, reported, second = play(file, url, project=project)
    assert status == Exit.DIFFERS, reported
    assert {(one["tracer"], one["case"]) for one in second["regressions"]} == {
        ("kprobe", case) for case in CASES
    }
    assert "debian:6.1, kprobe x stack-9: 8 right, 1 zero -> 9 another's" in reported
    assert "argument 0 is read as another's (it was: right)" in reported


@pytest.mark.full
def test_an_engine_that_got_slower(tmp_path: Path) -> None:
    file = written(tmp_path, kernels=["debian:6.1"], cost={"growth": 2})
    url = f"sqlite:///{tmp_path}/history.sqlite"
    status, reported, _ = play(file, url)
    assert status == Exit.AGREES, reported
    status, reported, _ = play(file, url, "--accept", "the first one")
    assert status == Exit.AGREES, reported

    saves = "\tsaved = stack_policy_save("
    loop = '\tfor (int i = 0; i < 100; i++)\n\t\tasm volatile("nop");\n'
    project = broken(tmp_path / "project", "jprobe_port.c", (saves, loop + saves))
    status, reported, second = play(file, url, project=project)
    assert status == Exit.DIFFERS, reported
    assert [(one["sort"], one["variant"]) for one in second["regressions"]] == [
        ("cost", variant) for variant in sorted(VARIANTS)
    ]
    assert "% more, where 2 % are allowed" in reported


def children(pid: int) -> Iterator[int]:
    """Yield the PIDs of all descendants of a process."""
    with suppress(FileNotFoundError, ProcessLookupError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for word in (task / "children").read_text().split():
                yield int(word)
                yield from children(int(word))


def stripped(results: list[Done]) -> list[Done]:
    """Return results without what depends on the time, the number of tries and the clock."""
    found = [
        replace(done, started=0, ended=0, logs="", boots=0, retried=[], costs=[])
        for done in results
    ]
    return sorted(found, key=lambda done: done.unit)
