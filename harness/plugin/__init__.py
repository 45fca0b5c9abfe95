# SPDX-License-Identifier: GPL-2.0-only
"""
The pytest plugin: `pytest --kernel=SPEC [--variant=V] [--tracer=T] [--case=C]`.

Without a path on the command line there is one item for each kernel x variant
x case, with one boot for each kernel, and with --tracer one for each kernel x
tracer x case, with one guest for each tracer, besides the tests that the ini
file's testpaths name.  With a path, the tests of that path run.  Tests can use
the fixtures `kernel`, `guest`, `ssh`, `variant` and `case`.  Without options or
fixtures the plugin does nothing.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from typing import TYPE_CHECKING, TypeVar

import pytest

from harness.plugin import options

if TYPE_CHECKING:
    from harness.inspect.guest import Guest
    from harness.inspect.ssh import Reached
    from harness.kernel.kernel import Kernel
    from harness.model.case import Case
    from harness.model.policy import Variant
    from harness.plugin.shared import Checked, Shared
    from harness.run.plan import Outcome
    from harness.vm.ssh import Ssh

T = TypeVar("T", bound="Checked")

# Our options' short names that were given, but are options of another plugin or a conftest.py.
_FOREIGN = pytest.StashKey[list[str]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    options.add_long(parser)


@pytest.hookimpl(wrapper=True)
def pytest_load_initial_conftests(
    early_config: pytest.Config, parser: pytest.Parser, args: list[str]
) -> Generator[None, object, object]:
    """Add the short names that were given and that no plugin or conftest.py has."""
    typed = options.typed(args)
    options.forget_values(typed, early_config, args)
    result = yield
    if typed:
        early_config.stash[_FOREIGN] = options.add_short(typed, parser, args)
    return result


def pytest_report_header(config: pytest.Config) -> list[str]:
    return [
        f"jprobe-harness: --{name} is an option of another plugin or a conftest.py here; use"
        f" --jprobe-{name}"
        for name in config.stash.get(_FOREIGN, [])
    ]


def pytest_configure(config: pytest.Config) -> None:
    """Create items if the command line has IDs of them, or has --kernel and no path."""
    ids = [argument for argument in config.args if options.is_id(argument)]
    if not ids and not options.is_given(config):
        return
    from harness.plugin import collected
    from harness.plugin.errors import as_usage_error
    from harness.plugin.selection import selection_of

    selection = selection_of(config)
    with as_usage_error():
        chosen = collected.chosen(selection, ids)
    if ids:
        # pytest would look for files with these names.
        config.args = [argument for argument in config.args if argument not in ids]
    elif not chosen or config.args_source is pytest.Config.ArgsSource.ARGS:
        return
    elif config.args_source is pytest.Config.ArgsSource.INVOCATION_DIR:
        config.args = []
    config.pluginmanager.register(collected.Collected(selection, chosen), "jprobe-harness-items")


def _is_ours(metafunc: pytest.Metafunc, name: str) -> bool:
    """Whether `name` is our fixture in the test, not a parameter or fixture of its own."""
    # pytest has no public function for the names that are parametrized already, nor for the
    # fixture that a name refers to.
    if any(name in call.params for call in metafunc._calls):
        return False
    definitions = metafunc.definition._fixtureinfo.name2fixturedefs.get(name, ())
    return bool(definitions) and definitions[-1].func.__module__ == __name__


@pytest.hookimpl(trylast=True)
def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run tests that ask for our fixtures once for each kernel, variant, case."""
    ours = [name for name in ("variant", "case", "kernel") if _is_ours(metafunc, name)]
    if not ours:
        return
    from harness.kernel import DEFAULT
    from harness.plugin.selection import selection_of

    selection = selection_of(metafunc.config)
    if "variant" in ours:
        variants = selection.variants()
        names = [variant.name for variant in variants]
        metafunc.parametrize("variant", variants, ids=names, indirect=True)
    if "case" in ours:
        cases = selection.cases()
        names = [case.name for case in cases]
        metafunc.parametrize("case", cases, ids=names, indirect=True)
    if "kernel" in ours:
        kernels = selection.kernels or [DEFAULT]
        metafunc.parametrize("kernel", kernels, indirect=True, scope="session")


@pytest.fixture
def variant(request: pytest.FixtureRequest) -> Variant:
    """Each variant that --variant selects; all of them without --variant."""
    chosen: Variant = request.param
    return chosen


@pytest.fixture
def case(request: pytest.FixtureRequest) -> Case:
    """
    Each case that --case selects; all of them without --case.

    A test with a kernel that has no such function is skipped.
    """
    chosen: Case = request.param
    if chosen.real and "kernel" in request.fixturenames:
        from harness.plugin.errors import as_failure
        from harness.prototypes.probed import lacking

        kernel = request.getfixturevalue("kernel")
        with as_failure():
            missing = lacking(kernel, [chosen])
        if missing:
            pytest.skip(f"{kernel.spec} has nothing to play it on: {missing[chosen.name]}")
    return chosen


@pytest.fixture(scope="session")
def kernel(request: pytest.FixtureRequest) -> Kernel:
    """The kernel under test, fetched if need be: that of --kernel, or the default one."""
    from harness import settings
    from harness.kernel import spec
    from harness.plugin.errors import as_failure
    from harness.plugin.selection import selection_of

    selection = selection_of(request.config)
    with as_failure():
        return spec.resolve(
            request.param, selection.catalog, settings.load(), options=selection.options
        )


def _lent(guests: Shared[T]) -> Iterator[T]:
    """A guest for one test, which fails if the guest was lost and no test was failed of it yet."""
    from harness.plugin.errors import as_failure

    with as_failure():
        taken = guests.take()
    yield taken
    with as_failure():
        guests.release()


@pytest.fixture(scope="session")
def _jprobe_guests(request: pytest.FixtureRequest, kernel: Kernel) -> Iterator[Shared[Guest]]:
    from harness.inspect.guest import booted
    from harness.plugin.errors import as_failure
    from harness.plugin.selection import selection_of
    from harness.plugin.shared import Shared

    with as_failure():
        built = selection_of(request.config).modules(kernel)
        with Shared(lambda: booted(kernel, built)) as guests:
            yield guests


@pytest.fixture
def guest(_jprobe_guests: Shared[Guest]) -> Iterator[Guest]:
    """A running guest with the modules loaded; shared by all tests of a kernel while it lives."""
    yield from _lent(_jprobe_guests)


@pytest.fixture(scope="session")
def _jprobe_reached(request: pytest.FixtureRequest, kernel: Kernel) -> Iterator[Shared[Reached]]:
    from harness.inspect.shell import Desk
    from harness.inspect.ssh import reached
    from harness.plugin.errors import as_failure
    from harness.plugin.selection import selection_of
    from harness.plugin.shared import Shared
    from harness.report.terminal import PIPE_WIDTH, lines

    selection = selection_of(request.config)

    def report(outcome: Outcome) -> Sequence[str]:
        return lines(outcome, PIPE_WIDTH, colour=False)

    with as_failure():
        built = selection.modules(kernel)
        with Shared(lambda: reached(kernel, built, Desk(selection.catalog, report))) as guests:
            yield guests


@pytest.fixture
def ssh(_jprobe_reached: Shared[Reached]) -> Iterator[Ssh]:
    """SSH into a running guest with the modules loaded; shared as `guest` is."""
    yield from (reached.ssh for reached in _lent(_jprobe_reached))
