# SPDX-License-Identifier: GPL-2.0-only
"""Runs a unit in this process."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from msgspec.structs import replace

import harness
from harness import fault, settings
from harness.cases.catalog import Catalog
from harness.errors import Exit, HarnessError
from harness.host import blame
from harness.kernel import spec
from harness.kernel.image import build_id
from harness.kernel.kernel import Bootable, Kernel
from harness.kernel.options import Options
from harness.measure import cost, fuzz, survey
from harness.measure.cost import CostResult
from harness.model.policy import Rule
from harness.modules import build as modules
from harness.modules.build import Modules
from harness.nightly.bundle import Packed, pack, pack_survey, unpack, unpack_survey
from harness.nightly.remembered.cells import cell, complaint
from harness.nightly.remembered.survey import remembered
from harness.nightly.remembered.tracers import traced
from harness.nightly.unit import (
    Done,
    HitCost,
    KernelError,
    Unit,
    UnitEnvironment,
    UnitKind,
    result,
)
from harness.prototypes import source
from harness.run import job, logs, repro
from harness.run.plan import Play, plays
from harness.run.result import Account, Broken, Result
from harness.toolchain.compiler import named
from harness.toolchain.make import checked
from harness.tracers.catalog import select
from harness.tracing import run as tracing
from harness.vm.running import version

T = TypeVar("T")


def perform(unit: Unit) -> Done:
    """
    Play the unit's cells or random signatures, measure costs, survey functions, or trace them.

    What keeps it from that is in the result, and not raised.
    """
    started = time.time()
    try:
        with blame.explaining():
            found = _MAKERS[unit.kind](unit)
    except Exception as error:
        return failed(unit, fault.foreseen(error) or fault.reported(error, logs.begun), started)
    return result(unit, started, time.time(), **found)


def _until_broken(run: Callable[[], T]) -> tuple[T, list[str]]:
    """Return a run's result; if a fault of ours ended it, also a sentence about that."""
    try:
        return run(), []
    except Broken as broken:
        assert isinstance(broken.__cause__, Exception)
        return broken.result, [str(fault.reported(broken.__cause__, logs.begun))]


def check(unit: Unit) -> None:
    """Raise ConfigError for a unit that cannot be run, before any is started."""
    catalog = _catalog(unit)
    variants = catalog.select_variants(unit.variants)
    job.check(unit.kernel, catalog, variants, options=_options(unit))


def failed(unit: Unit, error: HarnessError, started: float) -> Done:
    """Return the result of a unit that could not be started."""
    ended = time.time()
    if error.exit_status is not Exit.UNJUDGED:
        return result(unit, started, ended, harness_errors=[str(error)])
    # A kernel that cannot be built is the kernel's fault.
    kind = type(error).__name__
    one = KernelError(kind=kind, fingerprint=kind, text=str(error))
    return result(unit, started, ended, kernel_errors=[one])


def packed(unit: Unit) -> list[Packed]:
    """
    Return bundles of the images that a unit runs on, one for each of job.images().

    Empty for random signatures, which are compiled while they are played.
    """
    if unit.kind is UnitKind.FUZZ:
        return []
    catalog = _catalog(unit)
    if unit.kind is UnitKind.SURVEY:
        return [pack_survey(_resolved(unit, catalog))]
    if unit.kind is UnitKind.TRACERS:
        return [pack(*job.prepare(unit.kernel, catalog, options=_options(unit), traced=True))]
    variants = catalog.select_variants(unit.variants)
    return [
        pack(*job.prepare(unit.kernel, catalog, options=image))
        for image, _ in job.images(variants, _options(unit), exact=False)
    ]


def _resolved(unit: Unit, catalog: Catalog) -> Kernel:
    return spec.resolve(unit.kernel, catalog, settings.load(), options=_options(unit))


def _prepare(unit: Unit) -> job.Prepare:
    """Return the function that prepares the images: from the unit's bundles if it has any."""
    bundles = iter(unit.bundles)

    def unpacked(
        kernel_spec: str, catalog: Catalog, *, options: Options
    ) -> tuple[Bootable, Modules]:
        return unpack(next(bundles))

    return unpacked if unit.bundles else job.prepare


def _options(unit: Unit) -> Options:
    return Options(
        compiler=named(unit.compiler),
        fragments=tuple(Path(file) for file in unit.kconfig),
        make=checked(unit.make),
    )


def _catalog(unit: Unit) -> Catalog:
    return Catalog([Path(folder) for folder in unit.case_dirs])


def _cells(unit: Unit) -> dict[str, Any]:
    catalog = _catalog(unit)
    plan = plays(catalog.select_variants(unit.variants), catalog.select_cases(unit.cases))
    kernels: list[Bootable] = []

    def run(kernel: Bootable, built: Modules, chosen: Sequence[Play]) -> Result:
        kernels.append(kernel)
        return repro.run(kernel, built, chosen)

    judged, faults = _until_broken(
        lambda: job.judge(
            job.Target(unit.kernel, _options(unit)), catalog, plan, run, prepare=_prepare(unit)
        )
    )
    return {
        "facts": _facts(kernels[0], judged.compiler),
        "cells": [cell(outcome) for outcome in judged.outcomes],
        "complaints": [
            complaint(splat, outcome) for outcome in judged.outcomes for splat in outcome.unforeseen
        ],
        "planned": judged.planned,
        "played": len(judged.outcomes),
        "kernel_errors": _kernel_errors([judged]),
        "harness_errors": [*faults, *judged.harness_errors],
        "retried": list(judged.retried),
        "boots": judged.boots,
        "logs": judged.logs,
    }


def _fuzz(unit: Unit) -> dict[str, Any]:
    catalog = _catalog(unit)
    kernel = _resolved(unit, catalog)
    campaign, faults = _until_broken(
        lambda: fuzz.run(
            kernel,
            unit.seed,
            unit.count,
            catalog.select_variants(unit.variants),
            build=lambda kernel, cases: modules.build(kernel, cases, compiler=named(unit.compiler)),
        )
    )
    return {
        "facts": _facts(kernel, campaign.compiler),
        # Signatures that agree are not stored.
        "cells": [cell(outcome) for outcome in campaign.failures],
        "planned": campaign.count,
        "played": campaign.played,
        "kernel_errors": _kernel_errors([campaign]),
        "harness_errors": [*faults, *campaign.harness_errors],
        "logs": campaign.logs,
    }


def _cost(unit: Unit) -> dict[str, Any]:
    catalog = _catalog(unit)
    variants = catalog.select_variants(unit.variants)
    prepare = _prepare(unit)
    measured: list[tuple[Bootable, CostResult]] = []
    faults: list[str] = []
    for image, carried in job.images(variants, _options(unit), exact=False):
        kernel, built = prepare(unit.kernel, catalog, options=image)
        made, ended = _until_broken(functools.partial(cost.run, kernel, built, carried))
        measured.append((kernel, made))
        faults += ended
    outcomes = [outcome for _, result in measured for outcome in result.outcomes]
    wrong = [
        KernelError(kind="cost", fingerprint=o.variant.name, text=f"{o.variant.name}: {reason}")
        for o in outcomes
        for reason in o.reasons
    ]
    return {
        "facts": _facts(measured[0][0], measured[0][1].compiler),
        "costs": [
            HitCost(variant=o.variant.name, instructions=round(o.instructions, 2), saved=o.saved)
            for o in outcomes
            if o.instructions is not None
        ],
        "planned": len(variants),
        "played": len(outcomes),
        "kernel_errors": [*wrong, *_kernel_errors([result for _, result in measured])],
        "harness_errors": [*faults, *(t for _, result in measured for t in result.harness_errors)],
        "retried": [text for _, result in measured for text in result.retried],
        "boots": len(measured),
        "logs": measured[0][1].logs,
    }


def _survey(unit: Unit) -> dict[str, Any]:
    catalog = _catalog(unit)
    kernel: Bootable
    if unit.bundles:
        kernel, files = unpack_survey(unit.bundles[0])
    else:
        kernel = _resolved(unit, catalog)
        files = source.of_kernel(kernel)
    # What a tree's own jprobes do cannot be predicted.
    variants = [
        variant
        for variant in catalog.select_variants(unit.variants)
        if variant.expected.rule is not Rule.KERNEL
    ]
    found = survey.read(files, variants)
    return {
        "facts": _kernel_facts(kernel),
        "survey": remembered(found),
        "planned": 1,
        "played": 1,
    }


def _tracers(unit: Unit) -> dict[str, Any]:
    catalog = _catalog(unit)
    kernel: Bootable
    if unit.bundles:
        kernel, built = unpack(unit.bundles[0])
    else:
        kernel, built = job.prepare(unit.kernel, catalog, options=_options(unit), traced=True)
    tracers, cases = select(unit.tracers), catalog.select_cases(unit.cases)
    found, faults = _until_broken(lambda: tracing.run(kernel, built, tracers, cases))
    return {
        "facts": _facts(kernel, built.compiler),
        "traced": [traced(one) for one in found.cells],
        "planned": found.planned,
        "played": len(found.cells),
        "kernel_errors": [
            KernelError(kind=unit.kind.value, fingerprint="", text=text)
            for text in found.kernel_errors
        ],
        "harness_errors": [*faults, *found.errors],
        "retried": list(found.retried),
        "boots": found.boots,
    }


_MAKERS: Mapping[UnitKind, Callable[[Unit], dict[str, Any]]] = {
    UnitKind.CELLS: _cells,
    UnitKind.FUZZ: _fuzz,
    UnitKind.COST: _cost,
    UnitKind.SURVEY: _survey,
    UnitKind.TRACERS: _tracers,
}


def _facts(kernel: Bootable, compiler: str) -> UnitEnvironment:
    return replace(_kernel_facts(kernel), compiler=compiler, qemu=version())


def _kernel_facts(kernel: Bootable) -> UnitEnvironment:
    """Return the facts of a unit in which nothing is compiled or booted."""
    return UnitEnvironment(
        release=kernel.release,
        version=kernel.version,
        key=kernel.key,
        build_id=build_id(kernel.image),
        engine=kernel.engine.value,
        compiler="",
        qemu="",
        harness=harness.__version__,
    )


def _kernel_errors(accounts: Sequence[Account]) -> list[KernelError]:
    return [
        KernelError(kind=error.kind, fingerprint=error.fingerprint, text=str(error))
        for account in accounts
        for error in account.kernel_errors
    ]
