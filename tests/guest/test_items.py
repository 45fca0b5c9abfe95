# SPDX-License-Identifier: GPL-2.0-only
"""The plugin's items on a real guest: green, and red when the model is wrong."""

from __future__ import annotations

import pytest

from harness.cases.catalog import Catalog
from harness.tracers.catalog import select

pytest_plugins = ["pytester"]
pytestmark = pytest.mark.usefixtures("cached")

ARGUMENTS = ("--kernel=debian:6.1", "--variant=fixed-64", "--case=overwrite-6[45]")

SHIFTED = """
import dataclasses
from harness.model import predict, verdict

def shifted(case, policy, hit, places):
    moved = dataclasses.replace(policy, size=policy.size - 1)
    return predict.predict(case, moved, hit, places)

verdict.predict = shifted
"""


def test_items_pass(pytester: pytest.Pytester) -> None:
    pytester.runpytest_subprocess(*ARGUMENTS).assert_outcomes(passed=2)


def test_a_failure_names_the_first_byte_and_the_logs(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(shifted=SHIFTED)
    pytester.syspathinsert()
    result = pytester.runpytest_subprocess("-p", "shifted", *ARGUMENTS)
    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines(
        [
            "*argument 15 (long) is corrupt in no byte, predicted byte 7*",
            "*See: jprobe-harness log *",
        ]
    )


TRACED = ("--kernel=debian:7.2", "--tracer=fexit", "--case=struct-16-*")
MISREAD = """
import dataclasses
from harness.tracers.reading import Read
from harness.tracers.tracer import Tracer

predict = Tracer.predict

def misread(*words):
    reading = predict(*words)
    return dataclasses.replace(reading, reads=(Read.ZERO, *reading.reads[1:]))

Tracer.predict = misread
"""
NEWER = """
from harness.tracers.tracer import Tracer

Tracer.predict = lambda *words: None
"""


def test_items_of_a_tracer(pytester: pytest.Pytester) -> None:
    """Those that the kernel refuses pass where that was predicted."""
    cases = len(Catalog().select_cases(["struct-16-*"]))
    pytester.runpytest_subprocess(*TRACED).assert_outcomes(passed=cases)
    refused = pytester.runpytest_subprocess(*TRACED, "--kernel=debian:6.1")
    refused.assert_outcomes(passed=2 * cases)

    pytester.makepyfile(misread=MISREAD, newer=NEWER)
    pytester.syspathinsert()
    words = ("--kernel=debian:7.2", "--tracer=fexit", "--case=struct-16-aligned")
    result = pytester.runpytest_subprocess("-p", "misread", *words)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "fexit x struct-16-aligned on debian:7.2 is not as predicted:",
            "  argument 0 was read as right, predicted zero, better than predicted",
        ]
    )
    pytester.runpytest_subprocess("-p", "newer", *words).assert_outcomes(skipped=1)


@pytest.mark.full
def test_items_of_tracers_on_several_workers(pytester: pytest.Pytester) -> None:
    cases = len(Catalog().select_cases(["struct-16-*"]))
    words = ("--kernel=debian:7.2", "--tracer=f[ep]*", "--variant=none", "--case=struct-16-*")
    result = pytester.runpytest_subprocess("-n", "2", *words)
    tracers = len(select(["f[ep]*"]))
    result.assert_outcomes(passed=(tracers + 1) * cases)


LOSES_IT = """
import select

CRASH = "echo c >/proc/sysrq-trigger"

def test_finds_one(guest):
    assert guest.run("echo 1").output == "1\\n"

def test_loses_it(guest):
    guest.run(CRASH)

def test_finds_another(guest):
    assert guest.run("echo 1").output == "1\\n"

def test_loses_it_without_a_word(guest):
    guest.run(f"(usleep 100000; {CRASH}) >/dev/null 2>&1 &")
    while guest.session.look():
        select.select([guest.session], [], [], 60)

def test_finds_a_third(guest):
    assert guest.run("echo 1").output == "1\\n"
"""
LOSES_IT_BY_SSH = """
def test_finds_one(ssh):
    assert ssh.run("echo 1").output == "1\\n"

def test_loses_it(ssh):
    ssh.run("echo c >/proc/sysrq-trigger")

def test_finds_another(ssh):
    assert ssh.run("echo 1").output == "1\\n"
"""


def test_a_test_loses_its_own_guest_alone(pytester: pytest.Pytester) -> None:
    result = pytester.runpytest_subprocess(pytester.makepyfile(LOSES_IT))
    result.assert_outcomes(passed=4, failed=1, errors=1)
    panic = "Kernel panic - not syncing: sysrq triggered crash"
    result.stdout.fnmatch_lines(
        [
            "*ERROR at teardown of test_loses_it_without_a_word*",
            f"{panic}*",
            "See: jprobe-harness log *",
            "*_ test_loses_it?debian*",
            f"E *KernelDied: {panic}*",
        ]
    )


def test_a_test_loses_its_own_connection_alone(pytester: pytest.Pytester) -> None:
    result = pytester.runpytest_subprocess(pytester.makepyfile(LOSES_IT_BY_SSH))
    result.assert_outcomes(passed=2, failed=1, errors=1)
    result.stdout.fnmatch_lines(
        ["*ERROR at teardown of test_loses_it*", "Kernel panic*sysrq triggered crash*"]
    )
