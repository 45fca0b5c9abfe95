# SPDX-License-Identifier: GPL-2.0-only
"""One jprobe on four CPUs at once: a hit that is not accounted for makes the run red."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from harness.cases.catalog import Catalog
from harness.errors import Exit
from harness.guest.deadlines import DEFAULT_DEADLINES
from harness.guest.protocol import CASES_FILE
from harness.inspect.guest import booted
from harness.kernel.kernel import Kernel
from harness.measure import storm
from harness.model.storm import Storm, judge
from harness.modules import build as modules
from harness.run.boot import Setup, start
from harness.run.logs import Run
from harness.vm.machine import DEFAULT_CONFIG
from tests.guest.conftest import BrokenTree
from tests.guest.test_repro import command

PORT = "jprobe-port/jprobe_port.c"
CPUS = 4


@pytest.mark.full
def test_ten_seconds_on_four_cpus(tmp_path: Path, kernel: Kernel) -> None:
    done = command(tmp_path, "storm", "--kernel", kernel.spec, "--variant=fixed-128", "--json=-")
    document = json.loads(done.stdout)
    (seen,) = document["storms"]
    assert (done.returncode, seen["reasons"]) == (0, [])
    assert (document["cpus"], document["seconds"]) == (CPUS, 10)
    assert seen["milliseconds"] >= 10_000
    assert seen["hits"] == seen["handler"] + seen["missed"] + seen["skipped"]
    assert all(caller["calls"] for caller in seen["callers"])
    assert len(seen["callers"]) == 2 * CPUS


@pytest.mark.full
def test_every_variant(kernel: Kernel, catalog: Catalog) -> None:
    built = modules.build(kernel, list(catalog.cases.values()))
    variants = catalog.select_variants(
        ["none", "fixed:4", "v15", "fp-delta", "thread-size", "signature"]
    )
    result = storm.run(kernel, built, variants, cpus=CPUS, seconds=0.5)
    assert [outcome.reasons for outcome in result.outcomes] == [()] * len(variants)
    assert result.exit_status is Exit.AGREES


# Long enough for CPUs that share this machine's to meet.
MILLISECONDS = 2000


def test_one_storm_after_another_in_one_guest(kernel: Kernel, catalog: Catalog) -> None:
    built = modules.build(kernel, list(catalog.cases.values()))
    config = replace(DEFAULT_CONFIG, cpus=CPUS)
    logs = Run(kernel, built)
    setup = Setup(kernel, built, config, DEFAULT_DEADLINES, logs)
    variants = catalog.select_variants(["none", "fixed-128", "none"])
    lines = [f"~ {v.policy.rule.value} {v.policy.size} {MILLISECONDS}" for v in variants]
    with start(setup) as session:
        session.introduce()
        session.play(lines)
        storms = [record for record in session.records() if isinstance(record, Storm)]
        session.power_off()
    logs.finish()
    assert [seen.line for seen in storms] == lines
    for variant, seen in zip(variants, storms):
        assert judge(variant.policy, seen, CPUS, MILLISECONDS) == ()


def test_a_storm_goes_on_until_cpus_meet(kernel: Kernel, catalog: Catalog) -> None:
    built = modules.build(kernel, list(catalog.cases.values()))
    seconds = 0.02
    # One CPU meets none.
    result = storm.run(kernel, built, [catalog.variants["none"]], cpus=1, seconds=seconds)
    (seen,) = (outcome.storm for outcome in result.outcomes)
    assert seen
    assert seen.at_once == 1
    assert seen.milliseconds >= 1000 * seconds * storm.PERIODS


# Plays what has threads or interrupts of its own, counts the records, and loads the modules again.
CASES = "top-stack-9 rollback-list-cpu rollback-list-interrupt nested-hardirq irq-stack-9"
ROUND = "; ".join(
    [
        "b=/bin/busybox",
        f"for name in {CASES}; do echo $name fixed 64 >{CASES_FILE}; done",
        f"echo '~ fixed 128 200' >{CASES_FILE}",
        f"echo '~ fixed 128 200' >{CASES_FILE}",
        f"$b cat {CASES_FILE} | $b grep -o fixed | $b wc -l",
        "$b rmmod probe_targets && $b rmmod jprobe_port || exit",
        "while read -r module; do $b insmod /lib/modules/$module || exit; done </etc/modules",
    ]
)


def test_the_modules_are_loaded_again_after_a_storm(kernel: Kernel, catalog: Catalog) -> None:
    built = modules.build(kernel, list(catalog.cases.values()))
    with booted(kernel, built, replace(DEFAULT_CONFIG, cpus=2)) as guest:
        for _ in range(2):
            ran = guest.run(ROUND)
            assert (ran.status, ran.output) == (0, "7\n")
        assert guest.lives


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        # A nested hit is not missed, and its handler shares the first one's state.
        ("if (ctl->phase != JPROBE_IDLE ||", "if (", "KernelDied|Hung|the handler ran"),
        # An interrupt's hit is taken for the way back from the handler.
        pytest.param(
            "ctl->regs.sp == regs->sp &&", "", "not one that was passed", marks=pytest.mark.full
        ),
        # Two CPUs count at once, and one hit is lost.
        pytest.param(
            "atomic_long_inc(&jp->stat.hits);",
            "atomic_long_set(&jp->stat.hits, atomic_long_read(&jp->stat.hits) + 1);",
            "calls were made",
            marks=pytest.mark.full,
        ),
        # All CPUs share one state.
        pytest.param(
            "struct jprobe_ctl *ctl = this_cpu_ptr(&jprobe_ctl);\n\n\t/* An interrupt",
            "struct jprobe_ctl *ctl = per_cpu_ptr(&jprobe_ctl, 0);\n\n\t/* An interrupt",
            "the handler ran",
            marks=pytest.mark.full,
        ),
    ],
    ids=["nested", "interrupted", "racing", "shared"],
)
def test_what_only_a_storm_finds(
    broken_tree: BrokenTree, kernel: Kernel, catalog: Catalog, old: str, new: str, words: str
) -> None:
    built = modules.build(kernel, [], root=broken_tree(PORT, old, new))
    result = storm.run(kernel, built, [catalog.variants["none"]], cpus=CPUS, seconds=3)
    assert result.exit_status is Exit.DIFFERS
    reasons = result.outcomes[0].reasons
    assert any(re.search(words, reason) for reason in reasons), reasons
