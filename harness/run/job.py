# SPDX-License-Identifier: GPL-2.0-only
"""Prepares what a run needs from the names that the user gave, and runs it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from harness import settings
from harness.cases.catalog import Catalog
from harness.errors import ConfigError
from harness.host import blame
from harness.kernel import spec
from harness.kernel.kernel import Bootable, Engine, Kernel
from harness.kernel.options import DEFAULTS, Options
from harness.model.policy import Changes, Policy, Rule, Variant
from harness.modules import build as modules
from harness.modules.build import Modules
from harness.prototypes.probed import lacking
from harness.run.plan import Play
from harness.run.result import ENDED, Result, ended_run, merged
from harness.steps import part

# Plays a plan: repro.run with what the user said of it.
Run = Callable[[Bootable, Modules, Sequence[Play]], Result]


def prepare(
    kernel_spec: str,
    catalog: Catalog,
    *,
    options: Options = DEFAULTS,
    traced: bool = False,
) -> tuple[Kernel, Modules]:
    """
    Return the kernel and the modules, from the cache if they are there.

    `traced` modules have what today's probes want besides; raises ConfigError for a kernel
    with jprobes of its own, which has few of these probes.

    The modules carry every case of the catalog, so that the choice of cases
    does not lead to another build.
    """
    return _prepared(kernel_spec, catalog, options, traced)


def prepare_shell(
    kernel_spec: str, catalog: Catalog, *, options: Options = DEFAULTS
) -> tuple[Kernel, Modules]:
    """Return what prepare() does, for a guest with a shell: `traced` modules where they build."""
    return _prepared(kernel_spec, catalog, options, None)


def _prepared(
    kernel_spec: str, catalog: Catalog, options: Options, traced: bool | None
) -> tuple[Kernel, Modules]:
    """Do as prepare(); None for `traced` modules where they build."""
    with blame.explaining():
        spec.check(kernel_spec, catalog, settings.load(), options=options)
        kernel = spec.resolve(kernel_spec, catalog, settings.load(), options=options)
        if traced and kernel.engine is not Engine.PORT:
            raise ConfigError(
                f"{kernel_spec} has jprobes of its own, and is older than what traces today.",
                "Give a kernel without jprobes of its own, such as --kernel debian:7.2.",
            )
        cases = list(catalog.cases.values())
        if traced is None:
            traced = modules.is_traceable(kernel)
        return kernel, modules.build(kernel, cases, compiler=options.compiler, traced=traced)


class Prepare(Protocol):
    """The type of prepare(), and of what tests put in its place."""

    def __call__(
        self, kernel_spec: str, catalog: Catalog, *, options: Options
    ) -> tuple[Bootable, Modules]: ...


def images(
    variants: Sequence[Variant], options: Options, *, exact: bool
) -> list[tuple[Options, list[Variant]]]:
    """
    Return the images that variants need, each with the variants it is for.

    All policies that the modules implement share an image; a kernel's own policy, or
    with `exact` each policy, has an image to itself.
    """
    needed: dict[Options, list[Variant]] = {}
    for variant in variants:
        if variant.policy.rule is Rule.KERNEL:
            changes = Changes(
                options.changes.patches + variant.changes.patches,
                options.changes.settings + variant.changes.settings,
            )
            image = replace(options, carried="own", changes=changes)
        else:
            image = replace(options, carried=variant.policy if exact else "any")
        needed.setdefault(image, []).append(variant)
    return list(needed.items())


def check(
    kernel_spec: str,
    catalog: Catalog,
    variants: Sequence[Variant],
    *,
    options: Options = DEFAULTS,
    exact: bool = False,
) -> None:
    """Raise ConfigError if spec.check() does so for any image that the variants need."""
    for image, _ in images(variants, options, exact=exact):
        spec.check(kernel_spec, catalog, settings.load(), options=image)


@dataclass(frozen=True)
class Prepared:
    """One image of a kernel, the modules for it, and the plays to run on it."""

    kernel: Bootable
    modules: Modules
    plays: list[Play]
    # Why cases of the plan are not among the plays, by name.
    lacking: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Target:
    """What a run is about: a kernel, and what the user said of it."""

    spec: str
    options: Options = DEFAULTS
    # Whether each policy has an image to itself.
    exact: bool = False
    # What the kernel's own policy has to be, whatever its tree says.
    expect: Policy | None = None


def prepare_plan(
    target: Target, catalog: Catalog, plan: Sequence[Play], *, prepare: Prepare = prepare
) -> list[Prepared]:
    """
    Prepare as many images of one kernel as a plan's variants need.

    Cases on functions that the kernel does not have are left out.  Raises ConfigError where
    nothing else is planned, and whatever prepare() raises.
    """
    variants = list(dict.fromkeys(play.variant for play in plan))
    prepared = []
    for image, carried in images(variants, target.options, exact=target.exact):
        kernel, built = prepare(target.spec, catalog, options=image)
        wanted = [play for play in plan if play.variant in carried]
        missing = lacking(kernel, list(dict.fromkeys(play.case for play in wanted)))
        plays = [
            _expected(play, kernel, target.expect)
            for play in wanted
            if play.case.name not in missing
        ]
        if plays:
            prepared.append(Prepared(kernel, built, plays, missing))
    if plan and not prepared:
        raise without_functions(target.spec, missing)
    return prepared


def without_functions(kernel: str, missing: Mapping[str, str]) -> ConfigError:
    """Return the error for a kernel that has the function of no case, `missing` says why."""
    name, why = next(iter(missing.items()))
    more = len(missing) - 1
    first = f"{name}: {why}" + (f"; and {more} more" if more else "")
    return ConfigError(
        f"{kernel} has the function of no case that is chosen: {first}.",
        "Choose other cases, or another kernel.",
    )


def judge(
    target: Target,
    catalog: Catalog,
    plan: Sequence[Play],
    run: Run,
    *,
    prepare: Prepare = prepare,
) -> Result:
    """
    Prepare a plan as prepare_plan() does, and play it.

    Raises one of result.ENDED with the result so far, and whatever prepare() raises.
    """
    # Build all images first, so that a build that fails does so before the first boot.
    prepared = prepare_plan(target, catalog, plan, prepare=prepare)
    missing = {name: why for image in prepared for name, why in image.lacking.items()}
    plan = [play for play in plan if play.case.name not in missing]
    results: list[Result] = []
    for image in prepared:
        try:
            with part(sum(len(result.outcomes) for result in results), len(plan)):
                results.append(run(image.kernel, image.modules, image.plays))
        except ENDED as ended:
            results.append(ended.result)
            raise ended_run(ended, merged(results, plan, missing)) from ended.__cause__
    return merged(results, plan, missing)


def _expected(play: Play, kernel: Bootable, expect: Policy | None) -> Play:
    """With what the kernel's own policy was found to be, unless the user changed it."""
    variant = play.variant
    if variant.policy.rule is not Rule.KERNEL:
        return play
    found = None if variant.changes.patches else kernel.own_policy
    return replace(play, variant=replace(variant, found=expect or found))
