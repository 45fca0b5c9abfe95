# SPDX-License-Identifier: GPL-2.0-only
"""
The pytest plugin, in a pytest of its own; no guest.

That pytest is a process of its own only where it changes modules or looks at which are loaded.
"""

from __future__ import annotations

import pytest

from harness.cases.catalog import Catalog
from harness.run import job

pytest_plugins = ["pytester"]

CELL = "jprobe::debian:6.1::fixed-128::stack-10"
# A plugin in place of all that boots: what is played, in one line a boot, and nothing fails.
PLAYED = """
from types import SimpleNamespace

from harness.errors import ConfigError
from harness.run import job
from harness.run.result import Result

def judge(target, catalog, plays, run):
    kernel = target.spec
    print(f"played {kernel}: {len(plays)}")
    if kernel == "debian:5.10":
        raise ConfigError("This kernel cannot be had here.")
    outcomes = tuple(SimpleNamespace(play=play, agrees=True, reasons=()) for play in plays)
    return Result(kernel, "6.1", "port", "gcc", outcomes, len(plays))

job.judge = judge
"""


@pytest.fixture(autouse=True)
def quick(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a plugin that takes longer to load than the rest; pytester clears the variable."""
    monkeypatch.setenv("PYTEST_ADDOPTS", "-p no:hypothesispytest")


@pytest.fixture
def played(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """Run with -p played."""
    pytester.makepyfile(played=PLAYED)
    pytester.syspathinsert()
    # What the plugin replaces is put back.
    monkeypatch.setattr(job, "judge", job.judge)
    return pytester


def test_items_without_a_path(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_other="def test_other(): pass")
    result = pytester.runpytest_inprocess(
        "--kernel=debian:6.1", "--variant=fixed-128", "--case=stack-1[0267]", "--collect-only", "-q"
    )
    result.stdout.fnmatch_lines([f"*{CELL}*", "4 tests collected*"])
    result.stdout.no_fnmatch_line("*test_other*")


def test_items_beside_what_the_ini_file_names(played: pytest.Pytester) -> None:
    played.makeini("[pytest]\ntestpaths = mine")
    mine = played.mkdir("mine")
    mine.joinpath("test_mine.py").write_text("def test_mine(): pass\n")
    mine.joinpath("conftest.py").write_text(
        "def pytest_addoption(parser): parser.addoption('--mine', action='store_true')\n"
    )
    words = ("-p", "played", "-v", "--mine", "--kernel", "debian:6.1", "--variant=fixed-128")
    result = played.runpytest_inprocess(*words, "--case", "stack-1[0267]")
    result.assert_outcomes(passed=5)
    result.stdout.fnmatch_lines(["*mine/test_mine.py::test_mine PASSED*"])
    only = played.runpytest_inprocess(*words, "mine")
    only.assert_outcomes(passed=1)


def test_a_printed_id_plays_that_item(played: pytest.Pytester) -> None:
    listed = played.runpytest_inprocess(
        "--kernel=debian:6.1", "--variant=fixed-128", "--case=stack-10", "--collect-only", "-q"
    )
    assert listed.outlines[0] == CELL
    played.makepyfile(test_other="def test_other(): pass")
    result = played.runpytest_inprocess("-p", "played", "-s", "-rA", CELL)
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["*played debian:6.1: 1", f"PASSED {CELL}"])
    both = played.runpytest_inprocess("-p", "played", "test_other.py", CELL, CELL)
    both.assert_outcomes(passed=2)


def test_an_id_as_it_is_shown_in_another_folder(
    played: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    played.makeini("[pytest]")
    monkeypatch.chdir(played.mkdir("below"))
    result = played.runpytest_inprocess("-p", "played", "-rA", CELL)
    shown = next(line for line in result.outlines if line.startswith("PASSED"))
    again = played.runpytest_inprocess("-p", "played", shown.removeprefix("PASSED "))
    again.assert_outcomes(passed=1)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--kernel=debian:6.1", "--case=stak-9"], "There is no case 'stak-9'. The nearest: sta*"),
        (["--kernel=debian:9.9"], "There is no kernel 'debian:9.9'. The nearest: debian:*"),
        (["test_mine.py", "--kernel=debian:9.9"], "There is no kernel 'debian:9.9'. The nearest*"),
        (["jprobe::debian:9.9::none::stack-9"], "There is no kernel 'debian:9.9'. The nearest*"),
        (["jprobe::debian:6.1::none::stak-9"], "There is no case 'stak-9'. The nearest: stack*"),
        (["jprobe::debian:6.1"], "'jprobe::debian:6.1' is the ID of no item."),
    ],
    ids=lambda value: value[-1] if isinstance(value, list) else "",
)
def test_what_there_is_not_is_one_usage_error(
    pytester: pytest.Pytester, words: list[str], sentence: str
) -> None:
    pytester.makepyfile(test_mine="def test_mine(kernel): pass")
    result = pytester.runpytest_inprocess(*words)
    result.stderr.fnmatch_lines([f"ERROR: {sentence}"])
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stdout.no_fnmatch_line("*failed*")


def test_what_shows_only_when_it_is_played_is_one_too(played: pytest.Pytester) -> None:
    result = played.runpytest_inprocess("-p", "played", "--kernel=debian:5.10", "--variant=none")
    result.stdout.fnmatch_lines(["*Exit: This kernel cannot be had here. !*"])
    result.assert_outcomes()
    assert result.ret == pytest.ExitCode.USAGE_ERROR


def test_a_kernel_is_played_once_and_looked_at_as_often(played: pytest.Pytester) -> None:
    played.makepyfile(
        counted="""
        from harness.run.plan import Play

        compared = 0
        compare = Play.__eq__

        def count(one, other):
            global compared
            compared += 1
            return compare(one, other)

        Play.__eq__ = count

        def pytest_terminal_summary(terminalreporter):
            terminalreporter.write_line(f"compared {compared}")
        """
    )
    words = ("--kernel=debian:6.1", "--case=stack-*", "-s", "-p", "played", "-p", "counted")
    result = played.runpytest_subprocess(*words)
    count = result.parseoutcomes()["passed"]
    assert count > 50
    result.stdout.fnmatch_lines([f"*played debian:6.1: {count}", "compared 0"])
    assert sum("played debian" in line for line in result.outlines) == 1


def test_an_item_that_runs_again_is_played_again(played: pytest.Pytester) -> None:
    played.makeconftest(
        """
        from _pytest.runner import runtestprotocol

        def pytest_runtest_protocol(item, nextitem):
            for _ in range(1 + (item.play.case.name == "stack-10")):
                runtestprotocol(item, log=False, nextitem=nextitem)
            return True
        """
    )
    words = ("--kernel=debian:6.1", "--variant=none", "--case=stack-1[0267]", "-s", "-p", "played")
    result = played.runpytest_inprocess(*words)
    counts = [line.rpartition(": ")[2] for line in result.outlines if "played debian" in line]
    assert counts == ["4", "1"]


@pytest.mark.parametrize(
    ("option", "sentence"),
    [("--make=O=/tmp", "--make: O is set by"), ("--cc=tcc", "There is no compiler 'tcc'")],
)
def test_bad_options_of_a_kernel_are_usage_errors(
    pytester: pytest.Pytester, option: str, sentence: str
) -> None:
    result = pytester.runpytest_inprocess("--kernel=debian:6.1", option)
    result.stderr.fnmatch_lines([f"ERROR: {sentence}*"])
    assert result.ret == pytest.ExitCode.USAGE_ERROR


def test_fixtures_are_parametrized(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_mine(variant, case): assert case.name.startswith('stack')")
    result = pytester.runpytest_inprocess("test_fixtures_are_parametrized.py", "--case=stack-9")
    result.assert_outcomes(passed=len(Catalog().variants))


def test_other_peoples_names_stay_theirs(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(
        """
        def pytest_generate_tests(metafunc):
            if metafunc.function.__name__ == "test_by_a_hook":
                metafunc.parametrize("variant", [5])
        """
    )
    pytester.makepyfile(
        """
        import pytest

        @pytest.fixture
        def kernel():
            return "mine"

        @pytest.mark.parametrize("case, other", [(1, 2)])
        def test_words(case, other, kernel):
            assert (case, other, kernel) == (1, 2, "mine")

        @pytest.mark.parametrize(argnames="case", argvalues=[1])
        @pytest.mark.parametrize(argnames=("variant", "other"), argvalues=[(3, 2)])
        def test_keywords(case, variant, other):
            assert (case, variant, other) == (1, 3, 2)

        @pytest.mark.parametrize(["guest"], argvalues=[(4,)])
        def test_a_list(guest):
            assert guest == 4

        def test_by_a_hook(variant):
            assert variant == 5
        """
    )
    pytester.runpytest_inprocess("-v", pytester.path).assert_outcomes(passed=4)


OTHERS_OPTIONS = """
def pytest_addoption(parser):
    parser.addoption("--kernel", help="one of theirs")
    parser.getgroup("theirs").addoption("--case", action="store_true")
    parser.addoption("--cc", dest="compiler", default="tcc")
"""
USES_THEM = """
def test_mine(request):
    option = request.config.getoption
    assert (option("--kernel"), option("--case"), option("compiler")) == ({}, {}, "tcc")
"""


@pytest.mark.parametrize("place", ["conftest", "plugin"])
def test_other_peoples_options_stay_theirs(pytester: pytest.Pytester, place: str) -> None:
    pytester.makepyfile(**{place: OTHERS_OPTIONS}, test_mine=USES_THEM.format("'mine'", True))
    pytester.syspathinsert()
    words = ("-p", "plugin") if place == "plugin" else ()
    result = pytester.runpytest_inprocess(*words, "--kernel=mine", "--case")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(
        ["jprobe-harness: --kernel is an option of another plugin*; use --jprobe-kernel"]
    )
    result.stdout.no_fnmatch_line("*--jprobe-cc*")
    ours = pytester.runpytest_inprocess(
        *words, "--kernel=mine", "--jprobe-kernel=debian:6.1", "--variant=fixed-128",
        "--jprobe-case=stack-10", "--collect-only", "-q",
    )  # fmt: skip
    assert ours.outlines[0] == CELL


def test_options_of_a_conftest_that_is_read_late_stay_theirs(pytester: pytest.Pytester) -> None:
    below = pytester.mkpydir("below")
    below.joinpath("conftest.py").write_text(OTHERS_OPTIONS)
    below.joinpath("test_mine.py").write_text("def test_mine(): pass\n")
    pytester.runpytest_inprocess().assert_outcomes(passed=1)


def test_the_words_of_the_options_are_reported(pytester: pytest.Pytester) -> None:
    result = pytester.runpytest_inprocess("--help")
    result.stdout.fnmatch_lines(["*--jprobe-kernel=SPEC*or --kernel: play on this kernel*"])


def test_without_options_the_plugin_does_nothing(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(
        """
        import sys

        def pytest_collection(session):
            session.args = list(session.config.args)

        def pytest_sessionfinish(session):
            config = session.config
            loaded = {name for name in sys.modules if name.split(".")[0] == "harness"}
            assert loaded == {"harness", "harness.plugin", "harness.plugin.options"}
            assert session.args == [str(config.invocation_params.dir)]
            assert not config.pluginmanager.has_plugin("jprobe-harness-items")
            stashed = config.stash._storage.values()
            assert not any("harness" in type(value).__module__ for value in stashed)
        """
    )
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.parametrize("case", [1])
        def test_mine(case): pass
        """
    )
    result = pytester.runpytest_subprocess()
    result.assert_outcomes(passed=1)
    assert result.ret == pytest.ExitCode.OK
    result.stdout.no_fnmatch_line("*jprobe-harness:*")


def test_what_is_said_of_a_kernel(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        from harness.plugin.selection import selection_of

        def test_mine(pytestconfig):
            options = selection_of(pytestconfig).options
            assert options.defconfig == "board_defconfig"
            assert (options.memory_mib, options.boot_seconds) == (512, 300)
        """
    )
    said = ("--defconfig=board_defconfig", "--memory=512", "--boot-deadline=300")
    pytester.runpytest_inprocess(*said, pytester.path).assert_outcomes(passed=1)


BREAKS = PLAYED.replace(
    "    return Result(",
    "    if kernel == 'debian:6.12':\n"
    "        raise ZeroDivisionError\n"
    "    result = Result(kernel, '6.1', 'port', 'gcc', outcomes[:1], len(plays), broken=True)\n"
    "    raise ended_run(ZeroDivisionError(), result) from ZeroDivisionError()\n"
    "    return Result(",
).replace("import Result", "import Result, ended_run")


def test_a_fault_of_ours_is_an_error_of_what_was_not_judged(
    played: pytest.Pytester,
) -> None:
    played.makepyfile(played=BREAKS)
    words = ("-p", "played", "--variant=fixed-128", "--case=stack-1[0267]", "-rA")
    result = played.runpytest_inprocess(*words, "--kernel=debian:6.1")
    result.assert_outcomes(passed=1, errors=3)
    result.stdout.fnmatch_lines(["*ERROR at setup of debian:6.1 fixed-128 x stack-*", "*ZeroDiv*"])
    result = played.runpytest_inprocess(*words, "--kernel=debian:6.12")
    result.assert_outcomes(errors=4)
