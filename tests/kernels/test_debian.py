# SPDX-License-Identifier: GPL-2.0-only
"""Debian's stock kernels: every series, a real-time one and one with pages of 16 KiB."""

from __future__ import annotations

from pathlib import Path

from tests.kernels.command import repro

FURTHER = ("debian:7.2/rt", "debian:7.2/16k")


def test_every_verdict_agrees_on_each(tmp_path: Path) -> None:
    words = [word for spec in ("debian:all", *FURTHER) for word in ("--kernel", spec)]
    status, output, document = repro(tmp_path, *words)
    assert status == 0, output
    assert not document["unjudged"]
    runs = {run["summary"]["kernel"]: run["summary"] for run in document["runs"]}
    assert {"debian:5.10", "debian:6.1", "debian:6.12", "debian:7.2", *FURTHER} <= set(runs)
    for summary in runs.values():
        assert summary["complete"]
        assert summary["agree"] == summary["planned"] > 600
    # gcc 12 builds for the older ones here, the kernel's own compiler for the newer ones.
    assert len({summary["compiler"] for summary in runs.values()}) > 1
    # The kernels and compilers do differ, so the table does not show one of them under all names.
    assert document["differences"]
