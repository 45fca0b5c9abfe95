# SPDX-License-Identifier: GPL-2.0-only
"""The pytest plugin, in a pytest of its own; no guest."""

from __future__ import annotations

import pytest

pytest_plugins = ["pytester"]


def test_items_without_a_path(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_other="def test_other(): pass")
    result = pytester.runpytest_subprocess(
        "--kernel=debian:6.1", "--variant=fixed-128", "--case=stack-1?", "--collect-only", "-q"
    )
    result.stdout.fnmatch_lines(["*debian:6.1::fixed-128::stack-10*", "4 tests collected*"])
    result.stdout.no_fnmatch_line("*test_other*")


def test_bad_names_are_usage_errors(pytester: pytest.Pytester) -> None:
    result = pytester.runpytest_subprocess("--kernel=debian:6.1", "--case=stak-9")
    result.stderr.fnmatch_lines(["ERROR: There is no case 'stak-9'. The nearest: stack-9*"])
    assert result.ret == pytest.ExitCode.USAGE_ERROR


def test_fixtures_are_parametrized(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_mine(variant, case): assert case.name.startswith('stack')")
    result = pytester.runpytest_subprocess("test_fixtures_are_parametrized.py", "--case=stack-9")
    result.assert_outcomes(passed=6)


def test_other_peoples_names_stay_theirs(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest

        @pytest.fixture
        def kernel():
            return "mine"

        @pytest.mark.parametrize("case, other", [(1, 2)])
        def test_mine(case, other, kernel):
            assert (case, other, kernel) == (1, 2, "mine")
        """
    )
    pytester.runpytest_subprocess("-v", pytester.path).assert_outcomes(passed=1)


def test_without_options_the_plugin_does_nothing(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_mine(): pass")
    pytester.runpytest_subprocess().assert_outcomes(passed=1)


def test_what_is_said_of_a_kernel(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        from harness.plugin import _MATRIX

        def test_mine(pytestconfig):
            options = pytestconfig.stash[_MATRIX].options
            assert options.defconfig == "board_defconfig"
            assert (options.memory_mib, options.boot_seconds) == (512, 300)
        """
    )
    said = ("--defconfig=board_defconfig", "--memory=512", "--boot-deadline=300")
    pytester.runpytest_subprocess(*said, pytester.path).assert_outcomes(passed=1)
