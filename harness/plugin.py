# SPDX-License-Identifier: GPL-2.0-only
"""
The pytest plugin: `pytest --kernel=SPEC [--variant=V] [--case=C]`.

Without a path on the command line there is one item for each kernel x variant
x case, played in one boot a kernel.  With a path, those tests run, and find the
fixtures `kernel`, `guest`, `ssh`, `variant` and `case`.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from harness.catalog import Catalog
    from harness.errors import HarnessError
    from harness.kernel.kernel import Kernel
    from harness.kernel.options import Options
    from harness.model.case import Case
    from harness.model.policy import Variant
    from harness.run.guest import Guest
    from harness.run.plan import Outcome, Play, Result
    from harness.vm.ssh import Ssh


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("jprobe-harness", "stack policies of jprobes")
    group.addoption("--kernel", action="append", default=[], metavar="SPEC",
                    help="play on this kernel; repeatable")  # fmt: skip
    group.addoption("--variant", action="append", default=[], metavar="NAME",
                    help="a stack policy or a pattern; repeatable")  # fmt: skip
    group.addoption("--case", action="append", default=[], metavar="NAME",
                    help="a case or a pattern; repeatable")  # fmt: skip
    group.addoption("--case-dir", action="append", default=[], type=Path, metavar="DIR",
                    help="further cases, variants and kernels; repeatable")  # fmt: skip
    group.addoption("--cc", default="gcc", metavar="COMPILER",
                    help="what compiles the test modules, and a source tree")  # fmt: skip
    group.addoption("--modules-build", type=Path, metavar="DIR",
                    help="where modules for a kernel image are built")  # fmt: skip
    group.addoption("--kconfig", action="append", default=[], type=Path, metavar="FILE",
                    help="a Kconfig fragment for a source tree; repeatable")  # fmt: skip
    group.addoption("--defconfig", default="", metavar="NAME",
                    help="what a source tree's configuration starts from")  # fmt: skip
    group.addoption("--memory", type=int, metavar="MIB", help="the guest's memory")
    group.addoption("--boot-deadline", type=float, metavar="SECONDS",
                    help="how long the guest may take to boot")  # fmt: skip


class _Matrix:
    """What the options select, and the results once they are needed."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config

    @property
    def kernels(self) -> list[str]:
        from harness.kernel import spec

        given = self._config.getoption("--kernel")
        return spec.expand(given, self.catalog) if given else []

    @functools.cached_property
    def catalog(self) -> Catalog:
        from harness.catalog import Catalog

        return Catalog(self._config.getoption("--case-dir"))

    @functools.cached_property
    def options(self) -> Options:
        """What was said of the kernels beside their specs."""
        from harness.kernel.compiler import named
        from harness.kernel.options import Options

        option = self._config.getoption
        return Options(
            compiler=named(option("--cc")),
            modules_build=option("--modules-build"),
            defconfig=option("--defconfig"),
            fragments=tuple(option("--kconfig")),
            memory_mib=option("--memory"),
            boot_seconds=option("--boot-deadline"),
        )

    def plays(self) -> list[Play]:
        from harness.run.plan import plays

        return plays(
            self.catalog.select_variants(self._config.getoption("--variant")),
            self.catalog.select_cases(self._config.getoption("--case")),
        )

    @functools.cache  # noqa: B019 - lives as long as the session
    def result(self, kernel: str, plays: tuple[Play, ...]) -> Result | HarnessError:
        """Boot `kernel` once for all of `plays`; a failure is kept, not tried again."""
        from harness.errors import HarnessError
        from harness.run import job, repro

        try:
            return job.judge(kernel, self.catalog, plays, repro.run, options=self.options)
        except HarnessError as error:
            return error


_MATRIX = pytest.StashKey[_Matrix]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_MATRIX] = _Matrix(config)
    if _has_items(config):
        config.args = []


def _has_items(config: pytest.Config) -> bool:
    """--kernel without a path: the matrix is all there is to run."""
    source = config.args_source
    return bool(config.getoption("--kernel")) and source is not pytest.Config.ArgsSource.ARGS


class VerdictFailed(Exception):
    """A play that did not come out as predicted."""


class VerdictItem(pytest.Item):
    """One kernel x variant x case."""

    def __init__(self, *, kernel: str, play: Play, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.kernel = kernel
        self.play = play

    def _outcome(self) -> Outcome:
        from harness.run.logs import see

        plays = tuple(
            item.play
            for item in self.session.items
            if isinstance(item, VerdictItem) and item.kernel == self.kernel
        )
        result = self.config.stash[_MATRIX].result(self.kernel, plays)
        if isinstance(result, Exception):
            raise VerdictFailed(str(result))
        if result.kernel_trouble:
            # It belongs to no single play, so it leaves none of them green.
            trouble = "\n".join(result.kernel_trouble)
            raise VerdictFailed(f"{trouble}\n{see(result.logs)}")
        wanted = (self.play.variant.name, self.play.case.name)
        for outcome in result.outcomes:
            if (outcome.play.variant.name, outcome.play.case.name) == wanted:
                self._logs = result.logs
                return outcome
        raise VerdictFailed(
            f"{self.play} was not played. {' '.join(result.trouble)}\n{see(result.logs)}"
        )

    def runtest(self) -> None:
        from harness.run.logs import see

        outcome = self._outcome()
        if not outcome.agrees:
            lines = "\n".join(f"  {reason}" for reason in outcome.reasons)
            raise VerdictFailed(
                f"{self.play} on {self.kernel} is not as predicted:\n{lines}\n{see(self._logs)}"
            )

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        from harness.errors import HarnessError

        if isinstance(excinfo.value, VerdictFailed | HarnessError):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        return self.path, None, f"{self.kernel} {self.play}"


class _Collector(pytest.Collector):
    """The parent of all verdict items."""

    def collect(self) -> Sequence[pytest.Item]:
        matrix = self.config.stash[_MATRIX]
        return [
            VerdictItem.from_parent(
                self,
                name=f"{kernel}::{play.variant.name}::{play.case.name}",
                kernel=kernel,
                play=play,
            )
            for kernel in matrix.kernels
            for play in matrix.plays()
        ]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(
    session: pytest.Session, config: pytest.Config, items: list[pytest.Item]
) -> None:
    from harness.errors import HarnessError

    if not _has_items(config):
        return
    collector = _Collector.from_parent(session, name="jprobe", nodeid="jprobe")
    try:
        items[:] = collector.collect()
    except HarnessError as error:
        raise pytest.UsageError(str(error)) from error
    # The terminal counts what is reported.
    report = pytest.CollectReport(collector.nodeid, "passed", None, [*items])
    config.hook.pytest_collectreport(report=report)


def _is_ours(metafunc: pytest.Metafunc, name: str) -> bool:
    """The test means our fixture, and no parameter or fixture of its own."""
    for mark in metafunc.definition.iter_markers("parametrize"):
        names = mark.args[0]
        words = names.split(",") if isinstance(names, str) else names
        if name in (word.strip() for word in words):
            return False
    # pytest has no public way to ask which fixture a name stands for.
    definitions = metafunc.definition._fixtureinfo.name2fixturedefs.get(name, ())
    return bool(definitions) and definitions[-1].func.__module__ == __name__


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run tests that ask for our fixtures once for each kernel, variant, case."""
    from harness.errors import HarnessError
    from harness.kernel.spec import DEFAULT

    matrix = metafunc.config.stash[_MATRIX]
    option = metafunc.config.getoption
    try:
        if _is_ours(metafunc, "variant"):
            variants = matrix.catalog.select_variants(option("--variant"))
            names = [variant.name for variant in variants]
            metafunc.parametrize("variant", variants, ids=names, indirect=True)
        if _is_ours(metafunc, "case"):
            cases = matrix.catalog.select_cases(option("--case"))
            names = [case.name for case in cases]
            metafunc.parametrize("case", cases, ids=names, indirect=True)
        if _is_ours(metafunc, "kernel"):
            kernels = matrix.kernels or [DEFAULT]
            metafunc.parametrize("kernel", kernels, indirect=True, scope="session")
    except HarnessError as error:
        raise pytest.UsageError(str(error)) from error


@pytest.fixture
def variant(request: pytest.FixtureRequest) -> Variant:
    """Each variant that --variant selects, or each there is."""
    chosen: Variant = request.param
    return chosen


@pytest.fixture
def case(request: pytest.FixtureRequest) -> Case:
    """Each case that --case selects, or each there is."""
    chosen: Case = request.param
    return chosen


@pytest.fixture(scope="session")
def kernel(request: pytest.FixtureRequest) -> Kernel:
    """The kernel under test, fetched if need be; --kernel, or the default one."""
    from harness import settings
    from harness.kernel import spec

    matrix = request.config.stash[_MATRIX]
    return spec.resolve(request.param, matrix.catalog, settings.load(), options=matrix.options)


@pytest.fixture(scope="session")
def ssh(request: pytest.FixtureRequest, kernel: Kernel) -> Iterator[Ssh]:
    """SSH into a running guest with the modules loaded, shared by all tests of a kernel."""
    from harness.kernel import modules
    from harness.report.terminal import PIPE_WIDTH, lines
    from harness.run.ssh import reached

    matrix = request.config.stash[_MATRIX]
    cases = list(matrix.catalog.cases.values())
    built = modules.build(kernel, cases, compiler=matrix.options.compiler)
    with reached(
        kernel, built, matrix.catalog, lambda outcome: lines(outcome, PIPE_WIDTH, colour=False)
    ) as guest:
        yield guest.ssh


@pytest.fixture(scope="session")
def guest(request: pytest.FixtureRequest, kernel: Kernel) -> Iterator[Guest]:
    """A running guest with the modules loaded, shared by all tests of a kernel."""
    from harness.kernel import modules
    from harness.run.guest import Guest

    matrix = request.config.stash[_MATRIX]
    cases = list(matrix.catalog.cases.values())
    built = modules.build(kernel, cases, compiler=matrix.options.compiler)
    with Guest(kernel, built) as running:
        yield running
