# SPDX-License-Identifier: GPL-2.0-only
"""What a nightly run is to cover: one file of configs/nightly."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec
from msgspec.structs import replace

from harness.cases.catalog import Catalog
from harness.errors import ConfigError
from harness.host.yamlfile import read
from harness.kernel import spec
from harness.nightly.unit import Unit, UnitKind
from harness.toolchain.make import checked
from harness.tracers.catalog import pairs, select

MINUTE = 60.0
REPETITIONS_MAX = 100
LIST = "See: jprobe-harness list kernels"


class Fuzz(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Random signatures for each kernel and compiler."""

    count: int = 0
    seed: int = 1


class Costs(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Measurements of what a hit costs under each variant, for each kernel and compiler."""

    # By how many percent a cost may grow.
    growth: float = 2


class File(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The contents of a matrix file."""

    # A sentence that describes the matrix.
    shows: str
    # Specs as for --kernel.
    kernels: list[str]
    # Compilers as for --cc.
    compilers: list[str] = msgspec.field(default_factory=lambda: ["gcc"])
    # Names or patterns; empty for all.
    variants: list[str] = []
    cases: list[str] = []
    # Folders as for --case-dir, fragments as for --kconfig, and variables as for --make.
    case_dirs: list[str] = []
    kconfig: list[str] = []
    make: list[str] = []
    # How often each cell is played, each time in a boot of its own.
    repetitions: int = 1
    fuzz: Fuzz = Fuzz()
    # None if costs are not measured.
    cost: Costs | None = None
    # Whether each kernel's own functions are counted by where their arguments lie.
    survey: bool = False
    # Names or patterns of the tracers that the cases are played under; empty for none.
    tracers: list[str] = []
    # Minutes that one kernel may take with one compiler, builds included.
    deadline: float = 60


@dataclass(frozen=True)
class Matrix:
    """The units that a nightly run consists of."""

    # Of its file: nightly runs of one name are held against each other.
    name: str
    shows: str
    units: tuple[Unit, ...]

    @property
    def digest(self) -> str:
        """Return a digest that differs when the matrix does."""
        return hashlib.sha256(msgspec.json.encode(self.units)).hexdigest()[:16]


def load(path: Path) -> Matrix:
    """Read a matrix; raises ConfigError if it cannot be played."""
    file = read(path, File)
    if not file.kernels:
        raise ConfigError(f"{path}: kernels: name at least one.", LIST)
    if not 1 <= file.repetitions <= REPETITIONS_MAX:
        raise ConfigError(f"{path}: repetitions: give 1 to {REPETITIONS_MAX}.")
    if file.cost and file.cost.growth < 0:
        raise ConfigError(f"{path}: cost: growth: give a percentage.")
    if file.deadline <= 0:
        raise ConfigError(f"{path}: deadline: give minutes.")
    # Find misspelt names before the run starts.
    with _of(path):
        checked(file.make)
        catalog = Catalog([Path(folder) for folder in file.case_dirs])
        played = catalog.select_cases(file.cases)
        variants = [variant.name for variant in catalog.select_variants(file.variants)]
        cases = [case.name for case in played]
        chosen = select(file.tracers) if file.tracers else []
        if chosen:
            # Raises ConfigError where they have nothing to play.
            pairs(chosen, played)
        tracers = [one.name for one in chosen]
    return Matrix(path.stem, file.shows, tuple(_units(file, catalog, variants, cases, tracers)))


def check(path: Path, matrix: Matrix) -> None:
    """
    Raise ConfigError for a kernel, compiler, patch or fragment that does not exist.

    The error names the matrix.  Each pair of a kernel and a compiler is checked once.
    """
    from harness.nightly import unit_runner

    units = {(unit.kernel, unit.compiler): unit for unit in matrix.units}
    for unit in units.values():
        with _of(path):
            unit_runner.check(unit)


@contextmanager
def _of(path: Path) -> Iterator[None]:
    """Add the matrix's path to any ConfigError."""
    try:
        yield
    except ConfigError as error:
        raise ConfigError(f"{path}: {error.sentence}", error.hint) from error


def _units(
    file: File,
    catalog: Catalog,
    variants: list[str],
    cases: list[str],
    tracers: list[str],
) -> Iterator[Unit]:
    for kernel in spec.expand(file.kernels, catalog):
        for compiler in file.compilers:
            cells = Unit(
                kernel=kernel,
                compiler=compiler,
                kind=UnitKind.CELLS,
                variants=variants,
                cases=cases,
                case_dirs=file.case_dirs,
                kconfig=file.kconfig,
                make=file.make,
                deadline=file.deadline * MINUTE,
            )
            for repetition in range(1, file.repetitions + 1):
                yield replace(cells, repetition=repetition)
            if file.fuzz.count:
                yield replace(
                    cells, kind=UnitKind.FUZZ, cases=[], seed=file.fuzz.seed, count=file.fuzz.count
                )
            if file.cost:
                yield replace(cells, kind=UnitKind.COST, cases=[], growth=file.cost.growth)
            if tracers:
                yield replace(cells, kind=UnitKind.TRACERS, tracers=tracers)
            # Prototypes are those of the kernel, whatever compiles the test modules.
            if file.survey and compiler == file.compilers[0]:
                yield replace(cells, kind=UnitKind.SURVEY, cases=[])
