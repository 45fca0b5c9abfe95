# SPDX-License-Identifier: GPL-2.0-only
"""The main job on a stock kernel, and what it must show."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import harness
from harness.cases.catalog import Catalog
from harness.errors import BuildError, Exit
from harness.guest import initramfs, recipe
from harness.guest.records import Record
from harness.host import cache
from harness.inspect.guest import Guest, booted
from harness.kernel.kernel import Kernel
from harness.measure import fuzz
from harness.model.assumed import RecordPosition, predict_assumed
from harness.model.context import Context
from harness.modules import build as modules
from harness.modules.build import Modules
from harness.run import repro
from harness.run.plan import Outcome, Play, plays
from tests.guest.conftest import BrokenTree, Stores


def command(
    cwd: Path, *arguments: str, path: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run jprobe-harness in `cwd`; programs in `path` come before the system's."""
    before = f"{path}:" if path else ""
    return subprocess.run(
        ["jprobe-harness", *arguments],
        env={**os.environ, "PATH": before + os.environ["PATH"]},
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=120,
    )


Cell = Callable[[str, str], dict[str, Any]]


@pytest.fixture(scope="session")
def cell(full_run: dict[str, Any]) -> Cell:
    cells = {(v["variant"], v["case"]): v for v in full_run["verdicts"]}
    return lambda variant, case: cells[variant, case]


def test_every_verdict_agrees(full_run: dict[str, Any]) -> None:
    summary = full_run["summary"]
    assert summary["planned"] >= 6 * 90
    assert summary["agree"] == summary["played"] == summary["planned"]
    # What oopses is played last.
    assert (summary["boots"], summary["kernel_errors"], summary["exit_status"]) == (1, [], 0)
    damage = {"leak", "by-ref", "rollback", "overflow", "skipped", "missed"}
    contexts = {v["context"] for v in full_run["verdicts"]}
    assert contexts == {context.value for context in Context}
    seen = {name for label in summary["classes"] for name in label.split("+")}
    assert damage <= seen


def test_predict_without_a_guest_says_the_same(full_run: dict[str, Any], catalog: Catalog) -> None:
    wrong = [
        (seen["case"], seen["variant"], seen["class"], labels)
        for seen in full_run["verdicts"]
        # The frames of the kernel's own functions are not known beforehand.
        if not catalog.cases[seen["case"]].real
        and seen["class"]
        not in (
            labels := {
                predict_assumed(
                    catalog.cases[seen["case"]], catalog.variants[seen["variant"]].policy, frame
                ).label
                for frame in RecordPosition
            }
        )
    ]
    assert wrong == []


def test_the_reports(full_run: dict[str, Any]) -> None:
    folder = Path(full_run["folder"])
    schema = Path(harness.__file__).parent / "report/formats/schema.json"
    jsonschema.validate(
        json.loads((folder / "out.json").read_text()), json.loads(schema.read_text())
    )
    root = ElementTree.parse(folder / "out.xml").getroot()
    assert int(root.attrib["tests"]) == full_run["summary"]["planned"]
    assert "not ok" not in (folder / "out.ktap").read_text()
    assert "verdicts as predicted" in full_run["stdout"]
    assert "\x1b" not in full_run["stdout"]


def test_none_corrupts_the_ninth_argument(cell: Cell) -> None:
    (argument,) = cell("none", "stack-9")["arguments"]
    assert (argument["index"], argument["observed"]) == (8, [[0, 8]])


def test_v15_overflows_on_the_interrupt_stack_and_the_fix_does_not(cell: Cell) -> None:
    v15, fixed = cell("v15", "irq-read-only"), cell("fixed-128", "irq-read-only")
    assert v15["class"] == "overflow"
    assert v15["overflow"]["observed"] == v15["stack"]["top_minus_sp"] - 128
    assert (fixed["class"], fixed["overflow"]["observed"]) == ("intact", 0)
    assert cell("v15", "read-only")["overflow"]["observed"] == 0


def test_thread_size_takes_a_legitimate_write_back(cell: Cell) -> None:
    assert cell("thread-size", "object-outer")["object"]["observed"] == [[0, 16]]
    assert cell("none", "object-outer")["object"]["observed"] == []


def test_fp_delta_misses_what_was_passed_down(cell: Cell) -> None:
    (argument,) = cell("fp-delta", "by-ref-forwarded-stack")["arguments"]
    assert (argument["index"], argument["observed"]) == (8, [[0, 64]])


def test_fp_delta_skips_on_an_invalid_fp(cell: Cell) -> None:
    verdict = cell("fp-delta", "invalid-fp-stack-9")
    assert (verdict["class"], verdict["saved"]["observed"]) == ("skipped", -1)


def test_only_saving_nothing_undoes_nothing(full_run: dict[str, Any]) -> None:
    """The more bytes are put back, the more writes of others are undone."""
    prices = {price["variant"]: price for price in full_run["summary"]["prices"]}
    assert prices["none"]["undone"] == 0
    undone = [prices[name]["undone"] for name in ("none", "fixed-64", "fixed-128", "thread-size")]
    assert undone == sorted(undone)
    assert prices["thread-size"]["undone"] == prices["thread-size"]["writes"] >= 15


def test_every_agent_can_lose_its_write(cell: Cell) -> None:
    for agent in ("handler", "interrupt", "cpu"):
        for kind in ("counter", "completion", "list"):
            lost = cell("thread-size", f"rollback-{kind}-{agent}")["object"]["observed"]
            assert lost, (kind, agent)
            assert not cell("none", f"rollback-{kind}-{agent}")["object"]["observed"]


def test_the_window_grows_with_the_copied_size(kernel: Kernel, catalog: Catalog) -> None:
    case = catalog.cases["object-caller-large"]
    sizes = (8, 32, 64, 96, 160, 16384)
    variants = catalog.select_variants([f"fixed:{size}" for size in sizes])
    built = modules.build(kernel, list(catalog.cases.values()))
    outcomes = repro.run(kernel, built, plays(variants, [case])).outcomes
    assert all(outcome.agrees for outcome in outcomes)
    lost = [len(outcome.verdict.lost) for outcome in outcomes if outcome.verdict]
    assert lost == sorted(lost)
    assert lost[0] == 0
    assert lost[-1] == 128
    assert len(set(lost)) >= 4


@pytest.mark.parametrize("limit", [64, 128])
def test_a_fixed_window_ends_at_its_limit(cell: Cell, limit: int) -> None:
    variant = f"fixed-{limit}"
    assert cell(variant, f"overwrite-{limit}")["class"] == "intact"
    (argument,) = cell(variant, f"overwrite-{limit + 1}")["arguments"]
    assert argument["observed"] == [[0, 1]]


def test_a_filled_cache_needs_no_archive(tmp_path: Path, kernel: Kernel) -> None:
    fake = tmp_path / "apt-get"
    fake.write_text("#!/bin/sh\nexit 100\n")
    fake.chmod(0o755)
    done = command(tmp_path, "repro", "--kernel", kernel.spec, "--case", "stack-9", path=tmp_path)
    assert done.returncode == 0, done.stderr


def test_one_cell_is_dumped(tmp_path: Path, kernel: Kernel) -> None:
    done = command(
        tmp_path, "repro", "--kernel", kernel.spec, "--case=stack-10", "--variant=fixed:8"
    )
    assert done.returncode == 0, done.stderr
    assert "leak 8" in done.stdout
    assert re.search(r"0x0008 .*\[..\]\[..\].* argument 9", done.stdout)


def test_a_users_own_case(tmp_path: Path, kernel: Kernel) -> None:
    (tmp_path / "mine.yaml").write_text(
        "shows: mine\narguments: [11 x long]\nhandler: {assign: [10]}\n"
    )
    done = command(
        tmp_path,
        "repro",
        "--kernel",
        kernel.spec,
        "--case-dir=.",
        "--case=mine",
        "--variant=none",
        "--json=-",
    )
    assert done.returncode == 0, done.stderr
    (verdict,) = json.loads(done.stdout)["verdicts"]
    assert verdict["arguments"][0]["index"] == 10


def test_a_case_that_does_not_compile_is_named(
    kernel: Kernel, catalog: Catalog, other_stores: Callable[[Stores], None]
) -> None:
    other_stores(lambda case: ["nonsense();"])
    with pytest.raises(
        BuildError, match=r"case 'stack-9' cannot be compiled .* function .nonsense."
    ):
        modules.build(kernel, catalog.select_cases(["stack-9"]))


@pytest.mark.full
def test_the_image_is_reproducible(
    tmp_path: Path, kernel: Kernel, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    cases = catalog.select_cases(["stack-*"])
    images = []
    for name in ("one", "another-place"):
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / name))
        built = modules.build(kernel, cases)
        assert cache.root() in built.folder.parents
        inside = recipe.load("minimal")
        images.append(initramfs.build(kernel, built.files, inside, programs=built.programs))
    assert images[0] == images[1]


def test_a_kernel_without_virtio_reports_on_the_serial_line(
    kernel: Kernel, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(initramfs, "VIRTIO_SERIAL", ("no_such_module",))
    monkeypatch.setattr(
        initramfs,
        "cached",
        lambda kernel, modules, recipe, channel: initramfs.build(kernel, modules.files, recipe),
    )
    chosen = catalog.select_cases(["stack-9", "by-ref-1024", "irq-stack-9"])
    built = modules.build(kernel, list(catalog.cases.values()))
    plan = plays(list(catalog.variants.values()), chosen)
    result = repro.run(kernel, built, plan)
    assert (result.exit_status, len(result.outcomes)) == (0, len(plan)), result.errors


def test_a_guest_of_ones_own(guest: Guest, catalog: Catalog) -> None:
    outcome = guest.play(catalog.variants["none"], catalog.cases["stack-9"])
    assert outcome.agrees
    assert outcome.verdict and outcome.verdict.label == "leak"
    ran = guest.run("cat /proc/version; exit 3")
    assert ran.status == 3
    assert guest.kernel.release in ran.output


def test_several_jprobes_are_in_place_at_once(guest: Guest, catalog: Catalog) -> None:
    for case in catalog.select_cases(["stack-1*", "irq-*"]):
        assert guest.play(catalog.variants["fixed-128"], case).agrees
    probes = guest.run("cat /sys/kernel/debug/kprobes/list").output
    assert len([line for line in probes.splitlines() if "probe_targets" in line]) >= 8


def test_the_module_waits_for_its_thread(
    broken_tree: BrokenTree, kernel: Kernel, catalog: Catalog
) -> None:
    # Otherwise the thread's code would be gone.
    slow = "kfree(save);\n\tschedule_timeout_uninterruptible(2 * HZ);"
    root = broken_tree(
        "probe-targets/contexts.c", "kfree(save);\n\treturn 0;", f"{slow}\n\treturn 0;"
    )
    case = catalog.cases["top-read-only"]
    with booted(kernel, modules.build(kernel, [case], root=root)) as guest:
        assert guest.play(catalog.variants["none"], case).agrees
        assert guest.run("/bin/busybox rmmod probe_targets").status == 0
        threads = guest.run("/bin/busybox cat /proc/[0-9]*/stat").output
    assert "(init)" in threads
    assert "(probe-targets)" not in threads


def test_a_guest_that_is_faster_than_its_host(
    kernel: Kernel, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it has sent does not end with it."""
    judge_record, judged = repro.judge_record, 0

    def slow(play: Play, record: Record, modules: Modules) -> Outcome:
        nonlocal judged
        judged += 1
        # Long enough for the guest to have played all.
        time.sleep(0 if judged > 1 else 3)
        return judge_record(play, record, modules)

    monkeypatch.setattr(repro, "judge_record", slow)
    variants = catalog.select_variants(["none", "fixed-128"])
    chosen = fuzz.plays(7, range(600), variants, 0)
    result = repro.run(kernel, modules.build(kernel, []), chosen)
    assert (len(result.outcomes), result.exit_status) == (600, Exit.AGREES)
