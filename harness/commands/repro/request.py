# SPDX-License-Identifier: GPL-2.0-only
"""What the command line of `repro` asks for, checked before the first kernel is fetched."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from harness import settings
from harness.cases.catalog import Catalog, own_variant
from harness.commands.options import jobs, kernel_options
from harness.errors import ConfigError
from harness.kernel import spec
from harness.kernel.options import Options
from harness.model.policy import Changes, Policy, Variant
from harness.run import job
from harness.run.job import Target
from harness.run.plan import Play, plays

if TYPE_CHECKING:
    from harness.run.observer import Observer


@dataclass(frozen=True)
class Debugging:
    """How the user's own debugger gets to the guest."""

    # Where it attaches: None if GDB is started here, 0 for a socket, else a port of the loopback.
    port: int | None
    # The kernel's own file; None for the tree's, or for symbols alone.
    vmlinux: Path | None
    kaslr: bool


@dataclass(frozen=True)
class ReproRequest:
    """Everything that a run depends on."""

    catalog: Catalog
    # One or more kernels.
    specs: tuple[str, ...]
    variants: tuple[Variant, ...]
    plan: tuple[Play, ...]
    # What is said of the kernels beside their specs, without patches.
    kernel: Options
    # Files, in order; a tree is judged without them and with them.
    patches: tuple[str, ...]
    # An image for each policy, in place of one that carries them all.
    exact: bool
    # What a tree's own jprobes have to follow; None if its files say it.
    expected: Policy | None
    # How long one play may take, in seconds.
    deadline: float
    # How many guests play at once.
    jobs: int
    # GDB looks on at each play.
    witness: bool
    # Dump the guest when its kernel panics, and with at_end when all is played.
    dump: bool
    at_end: bool
    # A prompt in the guest comes after the plays, with these folders.
    shell: bool
    shares: tuple[Path, ...]
    debugging: Debugging | None

    @property
    def patched(self) -> Options:
        """What is said of the kernel, with the patches."""
        return replace(self.kernel, changes=Changes(patches=self.patches))

    def target(self, kernel: str, options: Options) -> Target:
        """Return what a run on one of the kernels is about."""
        return Target(kernel, options, self.exact, self.expected)

    def observer(self) -> Observer | None:
        """Return what looks on at one run."""
        if self.witness:
            from harness.inspect.witness import Witness

            return Witness()
        if self.dump:
            from harness.inspect.postmortem import Recorder

            return Recorder(at_end=self.at_end)
        return None


def read(options: argparse.Namespace) -> ReproRequest:
    """Make the request of options; raises ConfigError for what can never be done."""
    catalog = Catalog(options.case_dir)
    specs = spec.expand(options.kernel, catalog)
    debugging = None
    if options.gdb or options.gdb_wait is not None:
        debugging = Debugging(options.gdb_wait, options.vmlinux, options.kaslr)
    _check_combination(options, specs, debugged=debugging is not None)
    variants = _variants(catalog, options.variant, options.set)
    plan = plays(variants, catalog.select_cases(options.case))
    if debugging:
        _check_debugger(plan)
    request = ReproRequest(
        catalog=catalog,
        specs=tuple(specs),
        variants=tuple(variants),
        plan=tuple(plan),
        kernel=kernel_options(options),
        patches=tuple(options.patch),
        exact=options.exact,
        expected=_expected(options.expect, catalog),
        deadline=options.deadline,
        jobs=jobs(options),
        witness=options.witness is not None,
        dump=options.dump is not None,
        at_end=options.dump == "end",
        shell=options.shell,
        shares=tuple(options.share),
        debugging=debugging,
    )
    for name in specs:
        job.check(name, catalog, variants, options=request.patched, exact=options.exact)
    if not options.patch or options.variant or not _has_own_jprobes(request):
        return request
    # Under our policies the patch would hardly have a say.
    variants = _variants(catalog, ["tree"], options.set)
    plan = plays(variants, catalog.select_cases(options.case))
    return replace(request, variants=tuple(variants), plan=tuple(plan))


def _has_own_jprobes(request: ReproRequest) -> bool:
    return spec.has_own_jprobes(request.specs[0], request.catalog, settings.load())


def _check_combination(
    options: argparse.Namespace, specs: Sequence[str], *, debugged: bool
) -> None:
    if options.share and not options.shell:
        raise ConfigError("--share needs a guest with a shell.", "Give --shell too.")
    if options.vmlinux and not options.vmlinux.is_file():
        raise ConfigError(f"--vmlinux: there is no file {options.vmlinux}.")
    if len(specs) > 1 and (options.shell or debugged):
        raise ConfigError("Only one guest can have a shell or a debugger.", "Give --kernel once.")
    if len(specs) > 1 and options.patch:
        raise ConfigError("--patch is for one kernel at a time.", "Give --kernel once.")


def _check_debugger(plan: Sequence[Play]) -> None:
    from harness.inspect import debug

    if len(plan) != 1:
        raise ConfigError(
            f"A debugger is for one play, and {len(plan)} are selected.",
            "Choose one with --case and --variant.",
        )
    debug.check_installed()


def _variants(catalog: Catalog, names: Sequence[str], macros: Sequence[str]) -> list[Variant]:
    """Return the variants that --variant and --set name."""
    variants = catalog.select_variants(names)
    if macros:
        changes = Changes(settings=tuple(macros))
        variants.append(own_variant(", ".join(macros), changes))
    return variants


def _expected(name: str | None, catalog: Catalog) -> Policy | None:
    """Return the policy of the variant that --expect names, or None without --expect."""
    if not name:
        return None
    variants = catalog.select_variants([name])
    if len(variants) != 1:
        raise ConfigError(f"--expect: '{name}' is more than one variant.")
    return variants[0].policy
