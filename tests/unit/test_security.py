# SPDX-License-Identifier: GPL-2.0-only
"""Each promise of SECURITY.md is tested."""

from __future__ import annotations

import re
from pathlib import Path

from harness.host import doctor

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "SECURITY.md").read_text()


def test_each_promise_names_its_test() -> None:
    promised = TEXT.partition("## What is promised")[2].partition("## What is not")[0]
    promises = re.split(r"^- |\n\n", promised, flags=re.MULTILINE)
    promises = [text for text in promises if text.strip() and not text.rstrip().endswith(":")]
    assert len(promises) > 6
    for promise in promises:
        files = re.findall(r"`(tests/[^`]*)`", promise)
        assert files, promise
        assert [file for file in files if not (ROOT / file).exists()] == []


def test_the_oldest_qemu_is_the_one_that_is_refused_below() -> None:
    assert re.findall(r"older than (\S+)", TEXT) == [doctor.QEMU.least]
    table = (ROOT / "docs/troubleshooting.md").read_text()
    assert f"is too old | {doctor.QEMU.least}," in table
