# SPDX-License-Identifier: GPL-2.0-only
"""Claims as data: the files of configs/claims."""

from __future__ import annotations

import enum
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from harness import printable, resources
from harness.errors import ConfigError
from harness.host.yamlfile import read
from harness.model.predict import Damage

NO_RESULT = "no result"


class Source(enum.Enum):
    """Where a claim was made."""

    REVIEW = "review"
    DOCUMENT = "document"
    COMMENT = "comment"

    @property
    def words(self) -> str:
        return _SOURCES[self]


_SOURCES = {
    Source.REVIEW: "mail of July 2016 on patch 04/10 of the arm64 kprobes series, v15",
    Source.DOCUMENT: "Documentation/kprobes.txt of Linux v4.8",
    Source.COMMENT: "a comment in arch/arm64/kernel/probes/kprobes.c of Linux v4.8",
}


class Trait(enum.Enum):
    """What a case has, by which cells are selected."""

    # All arguments are in registers.
    REGISTERS = "registers"
    STACKED = "stacked"
    BY_REFERENCE = "by-reference"
    VARIADIC = "variadic"
    # Somebody writes to a variable of the caller's while the handler runs.
    WRITTEN = "written"
    NESTED = "nested"
    # The probed function is the kernel's own.
    REAL = "real"

    @property
    def words(self) -> str:
        return _TRAITS[self]


_TRAITS = {
    Trait.REGISTERS: "with all arguments in registers",
    Trait.STACKED: "with stacked arguments",
    Trait.BY_REFERENCE: "with arguments by reference",
    Trait.VARIADIC: "of variadic functions",
    Trait.WRITTEN: "with a legitimate write",
    Trait.NESTED: "with a nested probe",
    Trait.REAL: "on functions of the kernel's own",
}


class State(enum.Enum):
    """What a measure found, for the outcomes of a claim."""

    NONE = "none"
    SOME = "some"
    # There is no result, or too little was played to say that there is none.
    MISSING = "missing"


class CellsFile(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Cells of these variants and cases with damage of these classes."""

    # Names or shell patterns.
    variants: list[str]
    classes: list[Damage]
    # Empty for all cases.
    cases: list[str] = []
    # Cases that do not count.
    but: list[str] = []
    having: Trait | None = None
    # Counts the cells without such damage.
    without: bool = False


class SizesFile(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Variants of these names or patterns that leave no damage of these classes in any cell."""

    variants: list[str]
    classes: list[Damage]


class FunctionsFile(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Functions of a kernel: with stacked arguments of more than `over` bytes, for example."""

    lie: Literal["stacked", "by-reference", "unknown"]
    over: int = 0


class StormFile(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Storms in which handlers ran on several CPUs at once."""

    variants: list[str]


class CostFile(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Instructions a hit; a number beside the others, which decides nothing."""

    variants: list[str]


class MeasureFile(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Something to be counted in results: exactly one of the fields below `counts`."""

    # What is counted, in words that follow a number.
    counts: str
    cells: CellsFile | None = None
    sizes: SizesFile | None = None
    functions: FunctionsFile | None = None
    storm: StormFile | None = None
    cost: CostFile | None = None
    # Brings a result where the claim's command does not.
    command: str = ""

    @property
    def subject(self) -> CellsFile | SizesFile | FunctionsFile | StormFile | CostFile:
        """What the measure counts."""
        (one,) = self._subjects()
        return one

    def _subjects(self) -> Iterator[CellsFile | SizesFile | FunctionsFile | StormFile | CostFile]:
        for one in (self.cells, self.sizes, self.functions, self.storm, self.cost):
            if one is not None:
                yield one


class OutcomeFile(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """What is said of a claim when its measures are in these states."""

    # "holds", "does not hold" or "holds only ...".
    verdict: str
    # A few words that answer the question.
    answer: str
    # What that means, in a sentence or two.
    says: str
    # States by measure; a measure that is not named may be in any.
    when: dict[str, State | list[State]]


class ClaimFile(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The content of configs/claims/NAME.yaml."""

    # Its place on the page, from 1.
    rank: int
    source: Source
    # The claim as a reader's question, and in a sentence.
    question: str
    claim: str
    # What is said without a result: what is known nevertheless.
    unmeasured: str
    # Brings the results that the claim is held against; empty where nothing does.
    command: str = ""
    measures: dict[str, MeasureFile] = {}
    # The measures whose numbers are in the short form; if empty, those that decided.
    short: list[str] = []
    # The first that fits is what is said.
    outcomes: list[OutcomeFile] = []


@dataclass(frozen=True)
class Claim:
    """A claim with the name of its file."""

    name: str
    file: ClaimFile

    @property
    def question(self) -> str:
        return self.file.question


_VERDICT = re.compile("holds|does not hold|holds only .+")


def load(folders: Sequence[Path] | None = None) -> list[Claim]:
    """Read all claims, in the page's order; raise ConfigError that names the file."""
    chosen = [resources.configs() / "claims"] if folders is None else folders
    claims = [_claim(path) for folder in chosen for path in sorted(folder.glob("*.yaml"))]
    return sorted(claims, key=lambda claim: (claim.file.rank, claim.name))


def _claim(path: Path) -> Claim:
    file = read(path, ClaimFile)
    for place, sentence in _problems(file):
        raise ConfigError(f"{path}: {place}: {sentence}")
    return Claim(path.stem, printed(file))


def _problems(file: ClaimFile) -> Iterator[tuple[str, str]]:
    """Yield what is wrong beyond the fields' types, and where."""
    for name, measure in file.measures.items():
        if len(list(measure._subjects())) != 1:
            yield f"measures.{name}", "give one of cells, sizes, functions, storm and cost."
    if bool(file.measures) != bool(file.outcomes):
        yield "outcomes", "a claim has measures and outcomes, or neither."
    for name in file.short:
        if name not in file.measures:
            yield "short", f"there is no measure '{name}'."
    for index, outcome in enumerate(file.outcomes):
        if not _VERDICT.fullmatch(outcome.verdict):
            yield (
                f"outcomes[{index}].verdict",
                "give 'holds', 'does not hold' or 'holds only' with what for.",
            )
        for name in outcome.when:
            if name not in file.measures:
                yield f"outcomes[{index}].when", f"there is no measure '{name}'."
            elif file.measures[name].cost:
                yield f"outcomes[{index}].when", f"'{name}' is a cost, which decides nothing."


def printed(file: ClaimFile) -> ClaimFile:
    """Return a claim whose sentences are one line each, and printable."""
    words = {
        name: printable.line(getattr(file, name)).strip()
        for name in ("question", "claim", "unmeasured", "command")
    }
    outcomes = [
        msgspec.structs.replace(
            outcome,
            answer=printable.line(outcome.answer).strip(),
            says=printable.line(outcome.says).strip(),
        )
        for outcome in file.outcomes
    ]
    return msgspec.structs.replace(file, outcomes=outcomes, **words)
