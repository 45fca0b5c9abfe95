# SPDX-License-Identifier: GPL-2.0-only
"""Reads results from the JSON that repro, cost, storm and survey write."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from harness.answers.evidence import (
    CellResult,
    CostFound,
    Evidence,
    FunctionsFound,
    Run,
    StormFound,
    short_compiler,
    together,
    utc,
)
from harness.errors import ConfigError, Exit
from harness.host import given

STDIN = "-"
# A run on one kernel has 0.7 MiB.
SIZE_MAX = 512 * given.MIB


class _Summary(msgspec.Struct):
    kernel: str
    release: str
    engine: str
    compiler: str
    planned: int
    played: int
    differ: int
    kernel_errors: list[str]
    harness_errors: list[str]
    exit_status: Exit
    written: str = ""


class _Verdict(msgspec.Struct):
    variant: str
    case: str
    agrees: bool
    # Not in what earlier versions wrote.
    damage: dict[str, int] | msgspec.UnsetType | None = msgspec.UNSET


class _Repro(msgspec.Struct):
    summary: _Summary
    verdicts: list[_Verdict]


class _Unjudged(msgspec.Struct):
    kernel: str
    error: str


class _Comparison(msgspec.Struct):
    runs: list[_Repro]
    unjudged: list[_Unjudged] = []


class _Cost(msgspec.Struct):
    variant: str
    instructions: float | None
    agrees: bool


class _Costs(msgspec.Struct):
    kernel: str
    compiler: str
    exit_status: Exit
    errors: list[str]
    costs: list[_Cost]
    written: str = ""


class _Storm(msgspec.Struct):
    variant: str
    agrees: bool
    hits: int = 0
    at_once: int = 0


class _Storms(msgspec.Struct):
    kernel: str
    compiler: str
    exit_status: Exit
    errors: list[str]
    storms: list[_Storm]
    written: str = ""


class _Functions(msgspec.Struct):
    functions: int
    by_reference: int
    unknown: int


class _Bytes(msgspec.Struct):
    bytes: int
    functions: int


class _Kernel(msgspec.Struct):
    kernel: str
    release: str
    all: _Functions
    stacked_bytes: list[_Bytes]


class _Kernels(msgspec.Struct):
    kernels: list[_Kernel]
    written: str = ""


class _File:
    """A file with a result: its name, and when it was written."""

    def __init__(self, name: str, when: str) -> None:
        self.name = name
        self.when = when


def read(name: str) -> Evidence:
    """Return the results in a file, or in standard input for "-"; raise ConfigError."""
    path = Path("/dev/stdin" if name == STDIN else name)
    data = given.read(path, SIZE_MAX, pipe=True)
    shown = "standard input" if name == STDIN else name
    try:
        found = msgspec.json.decode(data)
    except msgspec.DecodeError as error:
        raise ConfigError(f"{shown} is not JSON: {error}.", _HINT) from error
    when = "" if name == STDIN else utc(path.stat().st_mtime)
    return evidence(found, shown, when)


_HINT = "Give what repro, cost, storm or survey writes with --json."


def evidence(document: Any, name: str, when: str) -> Evidence:
    """Return the results in a document that was read from `name`; raise ConfigError."""
    keys = document.keys() if isinstance(document, dict) else set()
    file = _File(name, when)
    for key, convert in _CONVERTERS.items():
        if key in keys:
            try:
                return convert(document, file)
            except msgspec.ValidationError as error:
                raise ConfigError(f"{name}: {error}.", _HINT) from error
    raise ConfigError(f"{name} is no result that claims can be held against.", _HINT)


def _repro(document: Any, file: _File) -> Evidence:
    return _run(msgspec.convert(document, _Repro), file)


def _comparison(document: Any, file: _File) -> Evidence:
    found = msgspec.convert(document, _Comparison)
    unjudged = tuple(f"{one.kernel}: {one.error}" for one in found.unjudged)
    return together([*(_run(run, file) for run in found.runs), Evidence(unjudged=unjudged)])


def _run(found: _Repro, file: _File) -> Evidence:
    summary = found.summary
    run = Run(
        command="repro",
        where=file.name,
        kernel=summary.kernel,
        release=summary.release,
        compiler=short_compiler(summary.compiler),
        engine=summary.engine,
        when=summary.written or file.when,
        planned=summary.planned,
        played=summary.played,
        differ=summary.differ,
        errors=(*summary.kernel_errors, *summary.harness_errors),
        status=summary.exit_status,
    )
    cells = []
    for verdict in found.verdicts:
        if isinstance(verdict.damage, msgspec.UnsetType):
            raise ConfigError(
                f"{file.name} was written by an earlier version, which did not say what was"
                " observed by class.",
                "Play again: jprobe-harness repro --json FILE",
            )
        cells.append(CellResult(run, verdict.variant, verdict.case, verdict.damage, verdict.agrees))
    return Evidence(runs=(run,), cells=tuple(cells))


def _measured(command: str, found: _Costs | _Storms, agree: list[bool], file: _File) -> Run:
    return Run(
        command=command,
        where=file.name,
        kernel=found.kernel,
        release=found.kernel,
        compiler=short_compiler(found.compiler),
        engine="",
        when=found.written or file.when,
        planned=len(agree),
        played=len(agree),
        differ=agree.count(False),
        errors=tuple(found.errors),
        status=found.exit_status,
    )


def _costs(document: Any, file: _File) -> Evidence:
    found = msgspec.convert(document, _Costs)
    run = _measured("cost", found, [one.agrees for one in found.costs], file)
    costs = [
        CostFound(run, one.variant, one.instructions, one.agrees)
        for one in found.costs
        if one.instructions is not None
    ]
    return Evidence(runs=(run,), costs=tuple(costs))


def _storms(document: Any, file: _File) -> Evidence:
    found = msgspec.convert(document, _Storms)
    run = _measured("storm", found, [one.agrees for one in found.storms], file)
    storms = [
        StormFound(run, one.variant, one.hits, one.at_once, one.agrees)
        for one in found.storms
        if one.hits
    ]
    return Evidence(runs=(run,), storms=tuple(storms))


def _kernels(document: Any, file: _File) -> Evidence:
    found = msgspec.convert(document, _Kernels)
    counted = []
    for one in found.kernels:
        run = Run(
            command="survey",
            where=file.name,
            kernel=one.kernel,
            release=one.release,
            compiler="",
            engine="",
            when=found.written or file.when,
        )
        counted.append(
            FunctionsFound(
                run,
                functions=one.all.functions,
                stacked={row.bytes: row.functions for row in one.stacked_bytes},
                by_reference=one.all.by_reference,
                unknown=one.all.unknown,
            )
        )
    return Evidence(runs=tuple(one.run for one in counted), functions=tuple(counted))


# What makes results of a document, by a field that only such a document has.
_CONVERTERS: dict[str, Callable[[Any, _File], Evidence]] = {
    "verdicts": _repro,
    "runs": _comparison,
    "costs": _costs,
    "storms": _storms,
    "kernels": _kernels,
}
