# SPDX-License-Identifier: GPL-2.0-only
"""The plugin's items on a real guest: green, and red when the model is wrong."""

from __future__ import annotations

import pytest

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
