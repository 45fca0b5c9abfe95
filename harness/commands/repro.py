# SPDX-License-Identifier: GPL-2.0-only
"""Plays the cases under the variants on one kernel or several."""

from __future__ import annotations

import argparse
import functools
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import settings
from harness.cases.catalog import Catalog
from harness.commands import output
from harness.commands.options import (
    add_all,
    add_cc,
    add_kernel,
    add_selection,
    add_share,
    kernel_options,
    port,
    seconds,
)
from harness.commands.output import Output, Progress, as_json
from harness.errors import ConfigError, Exit, OwnFault, Stopped

if TYPE_CHECKING:
    from harness.model.policy import Policy, Variant
    from harness.run.job import Prepared
    from harness.run.observer import Observer
    from harness.run.plan import Comparison, Play, Result


# git bisect run takes this for the end, and 1 to 127 for a bad revision.
BISECT_STOP = 128

SUMMARY = "boot a kernel, play the cases under the variants, judge every byte"
EXAMPLE = "jprobe-harness repro --variant fixed-128 --case 'stack-*' --json out.json"


def arguments(parser: argparse.ArgumentParser) -> None:
    add_kernel(parser, several=True)
    add_cc(parser)
    add_selection(parser)
    images = parser.add_mutually_exclusive_group()
    images.add_argument(
        "--one-image",
        action="store_false",
        dest="exact",
        default=False,
        help="from a tree with jprobes of its own, one image that carries every policy (default)",
    )
    images.add_argument(
        "--exact",
        action="store_true",
        help="from such a tree, an image for each policy, with nothing else in it",
    )
    parser.add_argument(
        "--bisect",
        action="store_const",
        dest="ends",
        const=for_git,
        default=int,
        help=f"end with {BISECT_STOP} in place of 2, 3 and 4, which is no kernel's fault and stops"
        " git bisect run",
    )
    parser.add_argument(
        "--patch",
        action="append",
        default=[],
        metavar="FILE",
        help="judge the tree with this patch beside the tree without; repeatable, in order",
    )
    parser.add_argument(
        "--expect",
        metavar="NAME",
        help="the variant that a tree's own jprobes have to follow, whatever its files say",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a further variant: the tree's own jprobes with a macro set, such as"
        " MAX_STACK_SIZE=THREAD_SIZE",
    )
    add_all(parser)
    for one in OUTPUTS:
        one.add(parser)
    parser.add_argument(
        "--deadline",
        type=seconds,
        default=30,
        metavar="SECONDS",
        help="how long one play may take before it counts as hung (default: 30)",
    )
    parser.add_argument(
        "--keep",
        action="store_true",
        help="never remove this run's logs (jprobe-harness runs)",
    )
    parser.add_argument(
        "--shell",
        action="store_true",
        help="then give a prompt in the guest that it was played in",
    )
    add_share(parser)
    debugger = parser.add_mutually_exclusive_group()
    debugger.add_argument(
        "--gdb",
        action="store_true",
        help="play one cell under GDB, stopped as the probed function is called",
    )
    debugger.add_argument(
        "--gdb-wait",
        type=port,
        nargs="?",
        const=0,
        metavar="PORT",
        help="the same for a debugger elsewhere: print how to attach, through a socket (default) or"
        " a port of the loopback, where only debuggers of this user are let in",
    )
    parser.add_argument(
        "--vmlinux",
        type=Path,
        metavar="FILE",
        help="the kernel's own file, for GDB (default: that of a tree, else symbols alone)",
    )
    parser.add_argument(
        "--kaslr", action="store_true", help="under GDB, let the kernel choose its addresses"
    )
    parser.add_argument(
        "--dump",
        choices=("panic", "end"),
        nargs="?",
        const="panic",
        help="write a dump of the guest when its kernel panics (default), or when all is played;"
        " see: jprobe-harness dump",
    )
    parser.add_argument(
        "--witness",
        choices=("gdb",),
        help="a debugger looks on, and must have seen what the guest tells",
    )


def for_git(status: int) -> int:
    """What git bisect run is told in place of an exit status."""
    stops = (Exit.USAGE, Exit.INFRASTRUCTURE, Exit.OWN_FAULT)
    return BISECT_STOP if status in stops else status


def run(options: argparse.Namespace) -> int:
    from harness.kernel import spec
    from harness.run.plan import ENDED

    catalog = Catalog(options.case_dir)
    specs = spec.expand(options.kernel, catalog)
    _check(options, catalog, specs)
    if options.shell:
        return _in_shell(options, catalog, specs)
    if _debugs(options):
        return _in_gdb(options, catalog, specs)
    if options.patch:
        return _patched(options, catalog, specs)
    if len(specs) == 1:
        try:
            result = _judge(options, catalog, specs[0])
        except ENDED as ended:
            result = ended.result
            output.each_then(ended, lambda: _report(options, result))
        _report(options, result)
        return result.exit_status
    comparison = _comparison(
        {name: functools.partial(_judge, options, catalog, name) for name in specs}
    )
    output.each_then(_end(comparison), lambda: _report(options, comparison))
    return comparison.exit_status


def _debugs(options: argparse.Namespace) -> bool:
    return options.gdb or options.gdb_wait is not None


def _check(options: argparse.Namespace, catalog: Catalog, specs: Sequence[str]) -> None:
    """Raise ConfigError for what can be known to be wrong before the first kernel is fetched."""
    from harness.run import job

    if options.share and not options.shell:
        raise ConfigError("--share is for a guest that you get a prompt of.", "Give --shell too.")
    if options.vmlinux and not options.vmlinux.is_file():
        raise ConfigError(f"--vmlinux: there is no file {options.vmlinux}.")
    if len(specs) > 1 and (options.shell or _debugs(options)):
        raise ConfigError("Only one guest can be handed to you.", "Give --kernel once.")
    if len(specs) > 1 and options.patch:
        raise ConfigError("--patch is for one kernel at a time.", "Give --kernel once.")
    plan = _plan(options, catalog)
    if _debugs(options):
        _check_debugger(plan)
    _expectation(options, catalog)
    given = kernel_options(options, options.patch)
    for name in specs:
        job.check(name, catalog, _variants(options, catalog), options=given, exact=options.exact)


def _check_debugger(plan: Sequence[Play]) -> None:
    from harness.inspect import debug

    if len(plan) != 1:
        raise ConfigError(
            f"A debugger is for one play, and these are {len(plan)}.",
            "Choose one with --case and --variant.",
        )
    debug.check_installed()


def _comparison(runs: Mapping[str, Callable[[], Result]]) -> Comparison:
    """Runs by name, one after the other; a kernel that cannot be had does not stop the rest."""
    from harness import fault
    from harness.run.plan import Broken, Comparison, Interrupted, Unjudged

    results: list[Result] = []
    unjudged: list[Unjudged] = []
    ended: Stopped | OwnFault | None = None
    for name, run in runs.items():
        try:
            results.append(replace(run(), spec=name))
        except Interrupted as interrupted:
            results.append(replace(interrupted.result, spec=name))
            ended = interrupted
            break
        except Broken as broken:
            results.append(replace(broken.result, spec=name))
            ended = broken
        except Exception as error:
            told = fault.foreseen(error) or fault.told(error)
            unjudged.append(Unjudged(name, told.sentence, told.hint, told.exit_status))
    return Comparison(tuple(results), tuple(unjudged), ended)


def _end(comparison: Comparison) -> Stopped | OwnFault | None:
    """What ended it, with the status of all of it, to be raised once all is reported."""
    if comparison.ended:
        comparison.ended.exit_status = comparison.exit_status
    return comparison.ended


def _patched(options: argparse.Namespace, catalog: Catalog, specs: Sequence[str]) -> int:
    """A tree with the user's patches beside the same one without."""
    from harness.kernel import spec
    from harness.report import patch_report

    (name,) = specs
    if not options.variant and spec.has_own_jprobes(name, catalog, settings.load()):
        # Under our policies the patch would hardly have a say.
        options.variant = ["tree"]
    judge = functools.partial(_judge, options, catalog, name)
    comparison = _comparison(
        {name: judge, f"{name} + patch": functools.partial(judge, options.patch)}
    )
    output.each_then(
        _end(comparison),
        lambda: _report(options, comparison, patch_report.print_patch, PATCH_OUTPUTS),
    )
    return (
        patch_report.exit_status(comparison)
        if len(comparison.results) == 2
        else comparison.exit_status
    )


def _in_shell(options: argparse.Namespace, catalog: Catalog, specs: Sequence[str]) -> int:
    """Play in a guest that the user then gets a prompt of."""
    from harness.commands import shell

    def prepared(progress: Progress) -> Prepared:
        return _one_image(options, catalog, specs, progress)

    result = shell.prompt(catalog, prepared, options.share, functools.partial(_report, options))
    return result.exit_status


def _in_gdb(options: argparse.Namespace, catalog: Catalog, specs: Sequence[str]) -> int:
    """One play under the user's own debugger."""
    from harness.inspect import debug
    from harness.inspect.guest import Guest
    from harness.vm.gdb import GDB
    from harness.vm.machine import Config
    from harness.vm.stub import Door

    with ExitStack() as resources:
        with ExitStack() as preparing:
            progress = Progress(preparing)
            # A port that cannot be had is known before anything is built.
            door = Door(options.gdb_wait, _warn) if options.gdb_wait else None
            resources.enter_context(door or nullcontext())
            image = _one_image(options, catalog, specs, progress)
            progress.step("booting", 1, 0)
            config = Config(gdb=True, kaslr=options.kaslr)
            guest = resources.enter_context(Guest(image.kernel, image.modules, config))
            (play,) = image.plays
            vmlinux = options.vmlinux or debug.vmlinux_of(image.kernel)
            debugged = debug.Debugged(guest, vmlinux, door)
            script = debugged.stage(play)
        if options.gdb:
            debugged.run_gdb(script)
        else:
            print(f"{GDB} -x {shlex.quote(str(script))}", flush=True)
            print("The guest waits for it; Ctrl-C here ends the guest.", file=sys.stderr)
            debugged.wait(lambda: print("The play is over; the guest stays.", file=sys.stderr))
        outcome = debugged.outcome
        if outcome:
            _report(options, guest.result((outcome,), planned=1))
        debugged.check()
    return Exit.AGREES if outcome and outcome.agrees else Exit.DIFFERS


def _warn(sentence: str) -> None:
    print(f"jprobe-harness: {sentence}", file=sys.stderr)


def _one_image(
    options: argparse.Namespace, catalog: Catalog, specs: Sequence[str], progress: Progress
) -> Prepared:
    """What is played in a single guest."""
    from harness.run import job

    needed = job.images(_variants(options, catalog), kernel_options(options), exact=options.exact)
    if len(needed) > 1:
        raise ConfigError(
            f"These variants need {len(needed)} images of the kernel, and only one guest can be"
            " handed to you.",
            "Choose among them with --variant.",
        )
    (image,) = job.prepare_plan(
        specs[0],
        catalog,
        _plan(options, catalog),
        options=kernel_options(options, options.patch),
        exact=options.exact,
        expect=_expectation(options, catalog),
        report=progress.percent,
    )
    return image


def _plan(options: argparse.Namespace, catalog: Catalog) -> list[Play]:
    from harness.run.plan import plays

    return plays(_variants(options, catalog), catalog.select_cases(options.case))


def _variants(options: argparse.Namespace, catalog: Catalog) -> list[Variant]:
    """What --variant and --set ask for."""
    from harness.cases.catalog import own_variant
    from harness.model.policy import Changes

    variants = catalog.select_variants(options.variant)
    if options.set:
        settings_ = Changes(settings=tuple(options.set))
        variants.append(own_variant(", ".join(options.set), settings_))
    return variants


def _expectation(options: argparse.Namespace, catalog: Catalog) -> Policy | None:
    """The policy of the variant that --expect names."""
    if not options.expect:
        return None
    variants = catalog.select_variants([options.expect])
    if len(variants) != 1:
        raise ConfigError(f"--expect: '{options.expect}' is more than one variant.")
    return variants[0].policy


def _observer(options: argparse.Namespace) -> Observer | None:
    if options.witness:
        from harness.inspect.witness import Witness

        return Witness()
    if options.dump:
        from harness.inspect.postmortem import Recorder

        return Recorder(at_end=options.dump == "end")
    return None


def _judge(
    options: argparse.Namespace, catalog: Catalog, kernel: str, patches: Sequence[str] = ()
) -> Result:
    """A run over one kernel; raises one of plan.ENDED with what there is."""
    from harness.run import job
    from harness.run.repro import run
    from harness.run.session import Deadlines

    plan = _plan(options, catalog)
    played = 0
    what = f"playing on {kernel}"
    with ExitStack() as resources:
        progress = Progress(resources)

        def on_boot() -> None:
            # The guest needs a second to boot; load what comes after it now.
            from harness.report import terminal  # noqa: F401

            progress.step(what, len(plan), played)

        def on_outcome(outcome: object) -> None:
            nonlocal played
            played += 1
            progress.step(what, len(plan), played)

        return job.judge(
            kernel,
            catalog,
            plan,
            functools.partial(
                run,
                deadlines=Deadlines(play=options.deadline),
                observer=_observer(options),
                on_boot=on_boot,
                on_outcome=on_outcome,
            ),
            options=kernel_options(options, patches),
            exact=options.exact,
            expect=_expectation(options, catalog),
            report=progress.percent,
        )


def _print(result: Result | Comparison, everything: bool) -> None:
    from harness.report import kernels_report, terminal
    from harness.run.plan import Comparison

    if isinstance(result, Comparison):
        kernels_report.print_comparison(result, everything)
        return
    terminal.print_result(result, everything)
    if len(result.outcomes) == 1:
        terminal.print_dump(result.outcomes[0])


def _as_json(result: Result | Comparison) -> bytes:
    from harness.report import kernels_report
    from harness.report.formats import json_report
    from harness.run.plan import Comparison

    if isinstance(result, Comparison):
        return as_json(kernels_report.as_json(result))
    return as_json(json_report.document(result))


def _as_junit(result: Result | Comparison) -> bytes:
    from harness.report import kernels_report
    from harness.report.formats import junit
    from harness.run.plan import Comparison

    if isinstance(result, Comparison):
        return kernels_report.as_junit(result).encode()
    return junit.document(result).encode()


def _as_ktap(result: Result | Comparison) -> bytes:
    from harness.report import kernels_report
    from harness.report.formats import ktap
    from harness.run.plan import Comparison

    if isinstance(result, Comparison):
        return kernels_report.as_ktap(result).encode()
    return ktap.document(result).encode()


def _patch_as_json(comparison: Comparison) -> bytes:
    from harness.report import patch_report

    return as_json(patch_report.as_json(comparison))


_FURTHER: tuple[Output[Any], ...] = (
    Output("junit", "JUnit XML", _as_junit),
    Output("ktap", "KTAP", _as_ktap),
)
OUTPUTS: tuple[Output[Any], ...] = (Output("json", "the verdicts as JSON", _as_json), *_FURTHER)
PATCH_OUTPUTS: tuple[Output[Any], ...] = (
    Output("json", "the verdicts as JSON", _patch_as_json),
    *_FURTHER,
)


def _report(
    options: argparse.Namespace,
    result: Result | Comparison,
    show: Callable[[Any, bool], None] = _print,
    outputs: Sequence[Output[Any]] = OUTPUTS,
) -> None:
    """Tell the result everywhere; what cannot be written does not stop the rest."""
    output.each(
        lambda: _keep(result) if options.keep else None,
        lambda: output.tell(options, outputs, result, lambda result: show(result, options.all)),
    )


def _keep(result: Result | Comparison) -> None:
    from harness.run import logs
    from harness.run.plan import Comparison

    for one in result.results if isinstance(result, Comparison) else (result,):
        for folder in one.logs.split(", "):
            logs.keep(Path(folder))
