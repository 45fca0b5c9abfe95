# SPDX-License-Identifier: GPL-2.0-only
"""What docs/tracers.md says of three kernels, from a fresh run and from their tracefs."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from harness.cases.catalog import Catalog
from harness.inspect.guest import Guest, booted
from harness.modules.casefunctions import symbol
from harness.run import job
from harness.tracing.function import TRACEFS, mount
from tests import pages, tracers

SECONDS = 300
FUNCTION = symbol(Catalog().cases["stack-8"], "target")
MODULE = "probe_targets"
# The step that was refused, and the error.
ERROR = re.compile("((load|attach|btf|no [a-z-]+): )?[^:]*")


def without_words(found: tracers.Cells) -> tracers.Cells:
    """Return cells without the kernel's own words, which change within a series, too."""
    return {
        key: {**one, "refused": (ERROR.match(one["refused"] or "") or [""])[0]}
        for key, one in found.items()
    }


@pytest.mark.full
@pytest.mark.parametrize("kernel", tracers.KERNELS)
def test_a_fresh_run_gives_the_table_of_the_page(kernel: str, tmp_path: Path) -> None:
    words = [word for case in tracers.CASES for word in ("--case", case)]
    out = tmp_path / "out.json"
    subprocess.run(
        ["jprobe-harness", "tracers", "--kernel", kernel, *words, "--json", str(out)],
        check=True,
        timeout=SECONDS,
    )
    fresh = tracers.cells(tracers.cut(json.loads(out.read_text())))
    stored = tracers.cells(tracers.stored())
    expected = {key: one for key, one in stored.items() if key[0] == kernel}
    assert without_words(fresh) == without_words(expected)


def define(guest: Guest, event: str) -> str:
    """Define an event; return what the kernel says of it, "" if it was accepted."""
    done = guest.run(f"echo '{event}' >>{TRACEFS}/dynamic_events")
    if not done.status:
        return ""
    log = guest.run(f"/bin/busybox cat {TRACEFS}/error_log; echo >{TRACEFS}/error_log")
    return log.output or done.output


@pytest.mark.parametrize("name", ["debian:6.12", "debian:7.2"])
def test_all_arguments_by_the_name_of_a_function_in_a_module(name: str) -> None:
    kernel, modules = job.prepare(name, Catalog(), traced=True)
    with booted(kernel, modules) as guest:
        mount(guest)
        assert define(guest, f"p:jp/plain {FUNCTION} $arg*") == ""
        assert "BTF is not available" in define(guest, f"p:jp/of {MODULE}:{FUNCTION} $arg*")
        # The symbol is not what is refused.
        assert define(guest, f"p:jp/one {MODULE}:{FUNCTION} $arg1") == ""
        (block,) = [text for kind, text in pages.blocks("tracers") if kind == "console"]
        assert define(guest, block.split("'")[1]) == ""
