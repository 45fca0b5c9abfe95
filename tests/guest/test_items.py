# SPDX-License-Identifier: GPL-2.0-only
"""The plugin's items on a real guest: green, and red when the model is wrong."""

from __future__ import annotations

import pytest

pytest_plugins = ["pytester"]

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
