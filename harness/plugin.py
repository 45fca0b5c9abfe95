# SPDX-License-Identifier: GPL-2.0-only
"""
The pytest plugin: `pytest --kernel=SPEC [--variant=V] [--case=C]`.

Without a path on the command line there is one item for each kernel x variant
x case, played in one boot a kernel, and whatever the ini file's testpaths name.
With a path, those tests run.  Tests find the fixtures `kernel`, `guest`, `ssh`,
`variant` and `case`.  Nothing is done where neither options nor fixtures are used.
"""

from __future__ import annotations

import functools
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import pytest

if TYPE_CHECKING:
    from harness.cases.catalog import Catalog
    from harness.errors import HarnessError
    from harness.inspect.guest import Guest
    from harness.inspect.ssh import Reached
    from harness.kernel.kernel import Kernel
    from harness.kernel.options import Options
    from harness.model.case import Case
    from harness.model.policy import Variant
    from harness.modules.build import Modules
    from harness.run.plan import Outcome, Play, Result
    from harness.run.shared import Checked, Shared
    from harness.vm.ssh import Ssh

T = TypeVar("T", bound="Checked")

# Of all verdict items; what their IDs begin with.
PARENT = "jprobe"

# --NAME, and --jprobe-NAME whoever else has the other.
_OPTIONS: Mapping[str, Mapping[str, Any]] = {
    "kernel": {"action": "append", "default": [], "metavar": "SPEC",
               "help": "play on this kernel; repeatable"},
    "variant": {"action": "append", "default": [], "metavar": "NAME",
                "help": "a stack policy or a pattern; repeatable"},
    "case": {"action": "append", "default": [], "metavar": "NAME",
             "help": "a case or a pattern; repeatable"},
    "case-dir": {"action": "append", "default": [], "type": Path, "metavar": "DIR",
                 "help": "further cases, variants and kernels; repeatable"},
    "cc": {"default": "gcc", "metavar": "COMPILER",
           "help": "what compiles the test modules, and a source tree"},
    "modules-build": {"type": Path, "metavar": "DIR",
                      "help": "where modules for a kernel image are built"},
    "kconfig": {"action": "append", "default": [], "type": Path, "metavar": "FILE",
                "help": "a Kconfig fragment for a source tree; repeatable"},
    "defconfig": {"default": "", "metavar": "NAME",
                  "help": "what a source tree's configuration starts from"},
    "memory": {"type": int, "metavar": "MIB", "help": "the guest's memory"},
    "boot-deadline": {"type": float, "metavar": "SECONDS",
                      "help": "how long the guest may take to boot"},
    "make": {"action": "append", "default": [], "metavar": "VAR=VALUE",
             "help": "a variable for make; repeatable"},
}  # fmt: skip


def _destination(name: str) -> str:
    return f"jprobe_{name.replace('-', '_')}"


def _group(parser: pytest.Parser) -> pytest.OptionGroup:
    return parser.getgroup("jprobe-harness", "stack policies of jprobes")


def pytest_addoption(parser: pytest.Parser) -> None:
    for name, attributes in _OPTIONS.items():
        told = {**attributes, "help": f"or --{name}: {attributes['help']}"}
        _group(parser).addoption(f"--jprobe-{name}", dest=_destination(name), **told)


def _typed(name: str, arguments: Sequence[str]) -> bool:
    return any(word.partition("=")[0] == f"--{name}" for word in arguments)


# Options on the command line that have the name of one of ours, and are somebody else's.
_FOREIGN = pytest.StashKey[list[str]]()


@pytest.hookimpl(wrapper=True)
def pytest_load_initial_conftests(
    early_config: pytest.Config, parser: pytest.Parser, args: list[str]
) -> Generator[None, object, object]:
    """Take the short names that are typed and that no plugin or conftest.py has."""
    typed = [name for name in _OPTIONS if _typed(name, args)]
    words = {f"--{name}" for name in typed}
    # By now a value of theirs counts as a path, which would keep testpaths out.
    values = {value for word, value in pairwise(args) if word in words and not Path(value).exists()}
    known = early_config.known_args_namespace
    known.file_or_dir = [path for path in known.file_or_dir if path not in values]
    result = yield
    if typed:
        _, unknown = parser.parse_known_and_unknown_args(args)
        for name in typed:
            if _typed(name, unknown):
                _group(parser).addoption(f"--{name}", dest=_destination(name), **_OPTIONS[name])
            else:
                early_config.stash.setdefault(_FOREIGN, []).append(name)
    return result


def pytest_report_header(config: pytest.Config) -> list[str]:
    return [
        f"jprobe-harness: --{name} is another plugin's here, or a conftest.py's; the harness's is"
        f" --jprobe-{name}"
        for name in config.stash.get(_FOREIGN, [])
    ]


class _Matrix:
    """What the options select."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config

    def _option(self, name: str) -> Any:
        return self._config.getoption(_destination(name))

    def check(self) -> None:
        """Raise ConfigError for what there is not."""
        self.check_kernels(self.kernels)
        self.variants()
        self.cases()

    def check_kernels(self, kernels: Sequence[str]) -> None:
        """Raise ConfigError for a spec that names none."""
        from harness import settings
        from harness.kernel import spec

        for kernel in kernels:
            spec.check(kernel, self.catalog, settings.load(), options=self.options)

    @functools.cached_property
    def kernels(self) -> list[str]:
        """Those that --kernel names."""
        from harness.kernel import spec

        given = self._option("kernel")
        return spec.expand(given, self.catalog) if given else []

    @functools.cached_property
    def catalog(self) -> Catalog:
        from harness.cases.catalog import Catalog

        return Catalog(self._option("case-dir"))

    @functools.cached_property
    def options(self) -> Options:
        """What was said of the kernels beside their specs."""
        from harness.kernel.options import Options
        from harness.toolchain.compiler import named
        from harness.toolchain.make import checked

        return Options(
            compiler=named(self._option("cc")),
            modules_build=self._option("modules-build"),
            defconfig=self._option("defconfig"),
            fragments=tuple(self._option("kconfig")),
            memory_mib=self._option("memory"),
            boot_seconds=self._option("boot-deadline"),
            make=checked(self._option("make")),
        )

    def variants(self) -> list[Variant]:
        return self.catalog.select_variants(self._option("variant"))

    def cases(self) -> list[Case]:
        return self.catalog.select_cases(self._option("case"))

    def modules(self, kernel: Kernel) -> Modules:
        """With every case, so that the choice of cases does not lead to another build."""
        from harness.modules import build as modules

        cases = list(self.catalog.cases.values())
        return modules.build(kernel, cases, compiler=self.options.compiler)


_MATRIX = pytest.StashKey[_Matrix]()


def _matrix(config: pytest.Config) -> _Matrix:
    if _MATRIX not in config.stash:
        config.stash[_MATRIX] = _Matrix(config)
    return config.stash[_MATRIX]


def pytest_configure(config: pytest.Config) -> None:
    """Have items where the command line names some, or --kernel and no path."""
    ids = [argument for argument in config.args if _is_id(argument)]
    if not ids and not any(_is_given(config, name) for name in _OPTIONS):
        return
    matrix = _matrix(config)
    with _usage():
        matrix.check()
        if ids:
            cells = [cell for text in ids for cell in _named(text, matrix)]
        else:
            every = _plays(matrix.variants(), matrix.cases())
            cells = [(kernel, play) for kernel in matrix.kernels for play in every]
    if ids:
        # pytest would look for files of that name.
        config.args = [argument for argument in config.args if argument not in ids]
    elif not cells or config.args_source is pytest.Config.ArgsSource.ARGS:
        return
    elif config.args_source is pytest.Config.ArgsSource.INVOCATION_DIR:
        config.args = []
    items = _Items(matrix, list(dict.fromkeys(cells)))
    config.pluginmanager.register(items, "jprobe-harness-items")


def _is_given(config: pytest.Config, name: str) -> bool:
    given: bool = config.getoption(_destination(name)) != _OPTIONS[name].get("default")
    return given


def _is_id(argument: str) -> bool:
    """Whether it is an item's, which pytest shows relative to where it was started."""
    path, separator, _ = argument.partition("::")
    return bool(separator) and Path(path).name == PARENT and not Path(path).is_file()


def _plays(variants: Sequence[Variant], cases: Sequence[Case]) -> list[Play]:
    from harness.run.plan import plays

    return plays(variants, cases)


def _named(text: str, matrix: _Matrix) -> Iterator[tuple[str, Play]]:
    """The cells that an item's ID stands for; raises ConfigError for what there is not."""
    from harness.errors import ConfigError

    words = text.partition("::")[2].rsplit("::", 2)
    if len(words) != 3:
        raise ConfigError(
            f"'{text}' is the ID of no item.",
            f"An ID is {PARENT}::KERNEL::VARIANT::CASE; options choose more than one.",
        )
    kernel, variant, case = words
    matrix.check_kernels([kernel])
    catalog = matrix.catalog
    plays = _plays(catalog.select_variants([variant]), catalog.select_cases([case]))
    yield from ((kernel, play) for play in plays)


@dataclass(frozen=True)
class _Answer:
    """What became of one item."""

    result: Result | HarnessError | None
    # None: it was not played.
    outcome: Outcome | None
    # Of the harness itself, which kept it from being played.
    fault: BaseException | None = None


class _Items:
    """The items of a session, and what became of them."""

    def __init__(self, matrix: _Matrix, cells: Sequence[tuple[str, Play]]) -> None:
        self._matrix = matrix
        self.cells = cells
        self._answers: dict[VerdictItem, _Answer] = {}
        # Kernels that were played on, by spec.
        self._played: set[str] = set()

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(
        self, session: pytest.Session, config: pytest.Config, items: list[pytest.Item]
    ) -> None:
        collector = _Collector.from_parent(session, name=PARENT, nodeid=PARENT, items=self)
        collected = collector.collect()
        items += collected
        # The terminal counts what is reported.
        report = pytest.CollectReport(collector.nodeid, "passed", None, [*collected])
        config.hook.pytest_collectreport(report=report)

    def take(self, item: VerdictItem) -> _Answer:
        """What became of it; an item that runs once more is played once more."""
        if item not in self._answers:
            self._play(item.kernel, self._due(item))
        return self._answers.pop(item)

    def _due(self, item: VerdictItem) -> list[VerdictItem]:
        """What to play in one boot: all on that kernel at first, later one alone."""
        if item.kernel in self._played:
            return [item]
        self._played.add(item.kernel)
        items = (one for one in item.session.items if isinstance(one, VerdictItem))
        return [one for one in items if one.kernel == item.kernel]

    def _play(self, kernel: str, items: Sequence[VerdictItem]) -> None:
        from harness.errors import ConfigError, HarnessError
        from harness.run import job, repro
        from harness.run.plan import Broken

        matrix = self._matrix
        plays = [item.play for item in items]
        fault: BaseException | None = None
        try:
            result = job.judge(kernel, matrix.catalog, plays, repro.run, options=matrix.options)
        except ConfigError as error:
            _exit(error)
        except Broken as broken:
            result, fault = broken.result, broken.__cause__
        except HarnessError as error:
            self._answers.update((item, _Answer(error, None)) for item in items)
            return
        except Exception as error:
            self._answers.update((item, _Answer(None, None, error)) for item in items)
            return
        outcomes = {
            (outcome.play.variant.name, outcome.play.case.name): outcome
            for outcome in result.outcomes
        }
        for item in items:
            cell = (item.play.variant.name, item.play.case.name)
            self._answers[item] = _Answer(result, outcomes.get(cell), fault)


class VerdictFailed(Exception):
    """A play that did not come out as predicted."""


class VerdictItem(pytest.Item):
    """One kernel x variant x case."""

    def __init__(self, *, kernel: str, play: Play, items: _Items, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.kernel = kernel
        self.play = play
        self._items = items

    def setup(self) -> None:
        """Play it; a fault of the harness is an error, as a fixture's is, and no failure."""
        self._answer = self._items.take(self)
        if self._answer.fault and self._answer.outcome is None:
            raise self._answer.fault

    def runtest(self) -> None:
        from harness.errors import HarnessError
        from harness.run.logs import see

        result, outcome = self._answer.result, self._answer.outcome
        assert result
        if isinstance(result, HarnessError):
            raise VerdictFailed(str(result))
        if result.kernel_trouble:
            # It belongs to no single play, so it leaves none of them green.
            trouble = "\n".join(result.kernel_trouble)
            raise VerdictFailed(f"{trouble}\n{see(result.logs)}")
        if outcome is None:
            raise VerdictFailed(
                f"{self.play} was not played. {' '.join(result.trouble)}\n{see(result.logs)}"
            )
        if not outcome.agrees:
            lines = "\n".join(f"  {reason}" for reason in outcome.reasons)
            raise VerdictFailed(
                f"{self.play} on {self.kernel} is not as predicted:\n{lines}\n{see(result.logs)}"
            )

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        if isinstance(excinfo.value, VerdictFailed):
            from harness.printable import shown

            return shown(str(excinfo.value))
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        from harness.printable import line

        return self.path, None, line(f"{self.kernel} {self.play}")


class _Collector(pytest.Collector):
    """The parent of all verdict items."""

    def __init__(self, *, items: _Items, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._items = items

    def collect(self) -> Sequence[pytest.Item]:
        from harness.printable import line

        return [
            VerdictItem.from_parent(
                self,
                name=line(f"{kernel}::{play.variant.name}::{play.case.name}"),
                kernel=kernel,
                play=play,
                items=self._items,
            )
            for kernel, play in self._items.cells
        ]


def _exit(error: HarnessError) -> NoReturn:
    """End the session: no test could do better."""
    pytest.exit(str(error), returncode=pytest.ExitCode.USAGE_ERROR)


@contextmanager
def _usage() -> Iterator[None]:
    """Tell what the user got wrong in one sentence, before any test runs."""
    from harness.errors import HarnessError

    try:
        yield
    except HarnessError as error:
        raise pytest.UsageError(str(error)) from error


@contextmanager
def _told() -> Iterator[None]:
    """Tell in a test what is no fault of its code, without a traceback."""
    from harness.errors import ConfigError, HarnessError

    try:
        yield
    except ConfigError as error:
        _exit(error)
    except HarnessError as error:
        pytest.fail(str(error), pytrace=False)


def _is_ours(metafunc: pytest.Metafunc, name: str) -> bool:
    """The test means our fixture, and no parameter or fixture of its own."""
    # pytest has no public way to ask which names have got their parameters, nor which
    # fixture a name stands for.
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
    from harness.kernel.spec import DEFAULT

    matrix = _matrix(metafunc.config)
    if "variant" in ours:
        variants = matrix.variants()
        names = [variant.name for variant in variants]
        metafunc.parametrize("variant", variants, ids=names, indirect=True)
    if "case" in ours:
        cases = matrix.cases()
        names = [case.name for case in cases]
        metafunc.parametrize("case", cases, ids=names, indirect=True)
    if "kernel" in ours:
        kernels = matrix.kernels or [DEFAULT]
        metafunc.parametrize("kernel", kernels, indirect=True, scope="session")


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

    matrix = _matrix(request.config)
    with _told():
        return spec.resolve(request.param, matrix.catalog, settings.load(), options=matrix.options)


def _lent(guests: Shared[T]) -> Iterator[T]:
    """A guest for one test, which fails of what the guest was lost of unless it was told."""
    with _told():
        taken = guests.take()
    yield taken
    with _told():
        guests.release()


@pytest.fixture(scope="session")
def _jprobe_guests(request: pytest.FixtureRequest, kernel: Kernel) -> Iterator[Shared[Guest]]:
    from harness.inspect.guest import Guest
    from harness.run.shared import Shared

    with _told():
        built = _matrix(request.config).modules(kernel)
        with Shared(lambda: Guest(kernel, built)) as guests:
            yield guests


@pytest.fixture
def guest(_jprobe_guests: Shared[Guest]) -> Iterator[Guest]:
    """A running guest with the modules loaded; shared by all tests of a kernel while it lives."""
    yield from _lent(_jprobe_guests)


@pytest.fixture(scope="session")
def _jprobe_reached(request: pytest.FixtureRequest, kernel: Kernel) -> Iterator[Shared[Reached]]:
    from harness.inspect.ssh import reached
    from harness.report.terminal import PIPE_WIDTH, lines
    from harness.run.shared import Shared

    matrix = _matrix(request.config)

    def tell(outcome: Outcome) -> Sequence[str]:
        return lines(outcome, PIPE_WIDTH, colour=False)

    with _told():
        built = matrix.modules(kernel)
        with Shared(lambda: reached(kernel, built, matrix.catalog, tell)) as guests:
            yield guests


@pytest.fixture
def ssh(_jprobe_reached: Shared[Reached]) -> Iterator[Ssh]:
    """SSH into a running guest with the modules loaded; shared as `guest` is."""
    yield from (reached.ssh for reached in _lent(_jprobe_reached))
