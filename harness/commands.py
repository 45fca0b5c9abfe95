# SPDX-License-Identifier: GPL-2.0-only
"""What each command does, from its options to its exit status."""

from __future__ import annotations

import argparse
import functools
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import settings
from harness.catalog import Catalog
from harness.errors import ConfigError, Exit, HarnessError, InfrastructureError

if TYPE_CHECKING:
    from harness.kernel.compiler import Compiler
    from harness.kernel.kernel import Kernel
    from harness.kernel.modules import Modules
    from harness.kernel.spec import Options
    from harness.model.policy import Policy, Variant
    from harness.run.plan import Result, Survey


def _compiler(name: str) -> Compiler:
    from harness.kernel.compiler import named

    return named(name)


def _write(path: str, data: bytes) -> None:
    """Write a report, to standard output for "-"."""
    if path == "-":
        sys.stdout.flush()
        sys.stdout.buffer.write(data)
        return
    try:
        Path(path).write_bytes(data)
    except OSError as error:
        raise InfrastructureError(f"{path} cannot be written: {error.strerror}.") from error


def _json(document: object) -> bytes:
    import msgspec

    return msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"


def check_writable(options: argparse.Namespace) -> None:
    """Find out before a long run, not after it."""
    for name in ("json", "junit", "ktap"):
        path = getattr(options, name, None)
        if path in (None, "-"):
            continue
        if not Path(path).resolve().parent.is_dir():
            raise ConfigError(f"{path} cannot be written: there is no such directory.")
        if Path(path).is_dir():
            raise ConfigError(f"{path} cannot be written: it is a directory.")


class _Progress:
    """Progress bars, one for each thing that takes long."""

    def __init__(self, resources: ExitStack) -> None:
        self._resources = resources
        self._bars: Any = None
        self._tasks: dict[str, Any] = {}

    def _update(self, what: str, total: float, completed: float) -> None:
        if not sys.stderr.isatty():
            return
        if self._bars is None:
            from harness.report import terminal

            self._bars = self._resources.enter_context(terminal.progress())
        if what not in self._tasks:
            self._tasks[what] = self._bars.add_task(what, total=total)
        self._bars.update(self._tasks[what], completed=completed)

    def percent(self, what: str, percent: float) -> None:
        self._update(what, 100, percent)

    def step(self, what: str, total: int, completed: int) -> None:
        self._update(what, total, completed)


def _options(options: argparse.Namespace, patches: Sequence[str] = ()) -> Options:
    """What was said of the kernel beside its spec."""
    from harness.kernel.spec import Options
    from harness.model.policy import Changes

    cc = getattr(options, "cc", "gcc")
    return Options(
        refresh=options.refresh,
        compiler=_compiler(cc if isinstance(cc, str) else "gcc"),
        modules_build=options.modules_build,
        fragments=tuple(options.kconfig),
        changes=Changes(patches=tuple(patches)),
    )


def _kernel(options: argparse.Namespace, catalog: Catalog, progress: _Progress) -> Kernel:
    from harness.kernel import spec

    return spec.resolve(
        options.kernel,
        catalog,
        settings.load(),
        options=_options(options),
        report=progress.percent,
    )


def _prepare(
    options: argparse.Namespace, catalog: Catalog, progress: _Progress
) -> tuple[Kernel, Modules]:
    """The kernel, and modules with all cases."""
    from harness.run import job

    return job.prepare(
        options.kernel,
        catalog,
        options=_options(options),
        report=progress.percent,
    )


def repro(options: argparse.Namespace) -> int:
    from harness.kernel import spec
    from harness.run.plan import Interrupted

    catalog = Catalog(options.case_dir)
    specs = spec.expand(options.kernel, catalog)
    if options.patch:
        return _patched(options, catalog, specs)
    if len(specs) == 1:
        try:
            result = _judge(options, catalog, specs[0])
        except Interrupted as interrupted:
            result = interrupted.result
        _report(options, result)
        return result.exit_status
    survey = _survey({name: functools.partial(_judge, options, catalog, name) for name in specs})
    _report(options, survey)
    return survey.exit_status


def _survey(runs: Mapping[str, Callable[[], Result]]) -> Survey:
    """Runs by name, one after the other; a kernel that cannot be had does not stop the rest."""
    from harness.run.plan import Interrupted, Survey, Unjudged

    results, unjudged = [], []
    for name, run in runs.items():
        try:
            results.append(replace(run(), spec=name))
        except Interrupted as interrupted:
            results.append(replace(interrupted.result, spec=name))
            break
        except HarnessError as error:
            unjudged.append(Unjudged(name, error.sentence, error.hint, error.exit_status))
    return Survey(tuple(results), tuple(unjudged))


def _patched(options: argparse.Namespace, catalog: Catalog, specs: Sequence[str]) -> int:
    """A tree with the user's patches beside the same one without."""
    from harness.kernel import spec
    from harness.report import patch_report

    if len(specs) != 1:
        raise ConfigError("--patch is for one kernel at a time.", "Give --kernel once.")
    (name,) = specs
    if not options.variant and spec.has_own_jprobes(name, catalog, settings.load()):
        # Under our policies the patch would hardly have a say.
        options.variant = ["tree"]
    judge = functools.partial(_judge, options, catalog, name)
    survey = _survey({name: judge, f"{name} + patch": functools.partial(judge, options.patch)})
    _report(options, survey, patch_report.print_patch, patch_report.as_json)
    return patch_report.exit_status(survey) if len(survey.results) == 2 else survey.exit_status


def _variants(options: argparse.Namespace, catalog: Catalog) -> list[Variant]:
    """What --variant and --set ask for."""
    from harness.catalog import own_variant
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


def _judge(
    options: argparse.Namespace, catalog: Catalog, kernel: str, patches: Sequence[str] = ()
) -> Result:
    """A run over one kernel; raises Interrupted with what there is."""
    from harness.run import job
    from harness.run.plan import plays
    from harness.run.repro import run
    from harness.run.session import Deadlines

    plan = plays(_variants(options, catalog), catalog.select_cases(options.case))
    played = 0
    what = f"playing on {kernel}"
    with ExitStack() as resources:
        progress = _Progress(resources)

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
                witness=bool(options.witness),
                on_boot=on_boot,
                on_outcome=on_outcome,
            ),
            options=_options(options, patches),
            exact=options.exact,
            expect=_expectation(options, catalog),
            report=progress.percent,
        )


def _report(
    options: argparse.Namespace,
    result: Result | Survey,
    show: Callable[[Any], None] | None = None,
    document: Callable[[Any], Any] | None = None,
) -> None:
    """Tell the result everywhere; what cannot be written does not stop the rest."""
    if "-" not in (options.json, options.junit, options.ktap):
        (show or _print)(result)
    failure = None

    def as_json(result: Result | Survey) -> bytes:
        return _json(document(result)) if document else _as_json(result)

    for path, make in (
        (options.json, as_json),
        (options.junit, _as_junit),
        (options.ktap, _as_ktap),
    ):
        try:
            if path:
                _write(path, make(result))
        except InfrastructureError as error:
            failure = error
    if failure:
        raise failure


def _print(result: Result | Survey) -> None:
    from harness.report import kernels_report, terminal
    from harness.run.plan import Survey

    if isinstance(result, Survey):
        kernels_report.print_survey(result)
        return
    terminal.print_result(result)
    if len(result.outcomes) == 1:
        terminal.print_dump(result.outcomes[0])


def _as_json(result: Result | Survey) -> bytes:
    from harness.report import json_report, kernels_report
    from harness.run.plan import Survey

    if isinstance(result, Survey):
        return _json(kernels_report.as_json(result))
    return _json(json_report.document(result))


def _as_junit(result: Result | Survey) -> bytes:
    from harness.report import junit, kernels_report
    from harness.run.plan import Survey

    if isinstance(result, Survey):
        return kernels_report.as_junit(result).encode()
    return junit.document(result).encode()


def _as_ktap(result: Result | Survey) -> bytes:
    from harness.report import kernels_report, ktap
    from harness.run.plan import Survey

    if isinstance(result, Survey):
        return kernels_report.as_ktap(result).encode()
    return ktap.document(result).encode()


def fuzz(options: argparse.Namespace) -> int:
    from harness import casefile
    from harness.kernel import modules
    from harness.report import fuzz_report
    from harness.run import fuzz as fuzzing

    catalog = Catalog()
    build = functools.partial(modules.build, compiler=_compiler(options.cc))
    if not options.out.is_dir():
        raise ConfigError(f"{options.out}: no such directory.", "Check --out.")
    with ExitStack() as resources:
        progress = _Progress(resources)
        kernel = _kernel(options, catalog, progress)
        compiled = fuzzing.COMPILED if options.compiled is None else options.compiled
        campaign = fuzzing.run(
            kernel,
            options.seed,
            options.count,
            catalog.select_variants(options.variant),
            compiled=compiled,
            build=build,
            on_played=lambda played: progress.step("playing", options.count, played),
        )
        shrunk = None
        if campaign.failures:
            shrunk = fuzzing.shrink(
                kernel,
                campaign.failures[0],
                build=build,
                on_round=lambda done: progress.step("simplifying", fuzzing.SHRINK_ROUNDS, done),
            )
    command = ""
    if shrunk:
        play = shrunk.play
        path = options.out / f"{play.case.name}.yaml"
        _write(str(path), casefile.text(play.case).encode())
        command = (
            f"jprobe-harness repro --kernel {options.kernel} --cc {options.cc}"
            f" --case-dir {options.out} --case {play.case.name} --variant {play.variant.name}"
        )
    if options.json:
        _write(options.json, _json(fuzz_report.document(campaign)))
    if options.json != "-":
        fuzz_report.print_campaign(campaign, shrunk, command)
    return campaign.exit_status


def storm(options: argparse.Namespace) -> int:
    from harness.report import storm_report
    from harness.run import storm as storms

    catalog = Catalog()
    variants = catalog.select_variants(options.variant)
    done = 0
    with ExitStack() as resources:
        progress = _Progress(resources)

        def on_outcome(outcome: object) -> None:
            nonlocal done
            done += 1
            progress.step("storms", len(variants), done)

        kernel, modules = _prepare(options, catalog, progress)
        progress.step("storms", len(variants), done)
        result = storms.run(
            kernel,
            modules,
            variants,
            cpus=options.cpus,
            seconds=options.seconds,
            on_outcome=on_outcome,
        )
    if options.json:
        _write(options.json, _json(storm_report.document(result)))
    if options.json != "-":
        storm_report.print_storms(result)
    return result.exit_status


def layout(options: argparse.Namespace) -> int:
    from harness.kernel import modules
    from harness.report import layout_report
    from harness.run.plan import plays
    from harness.run.repro import run

    catalog = Catalog(options.case_dir)
    plan = plays(catalog.select_variants(options.variant), catalog.select_cases(options.case))
    cases = list(catalog.cases.values())
    compilers = {name: _compiler(name) for name in options.cc or ("gcc", "clang")}
    results: dict[str, Result] = {}
    with ExitStack() as resources:
        progress = _Progress(resources)
        kernel = _kernel(options, catalog, progress)
        for name, compiler in compilers.items():
            progress.step("compilers", len(compilers), len(results))
            built = modules.build(kernel, cases, compiler=compiler, report=progress.percent)
            results[name] = run(kernel, built, plan)
    if options.json:
        _write(options.json, _json(layout_report.document(results)))
    if options.json != "-":
        layout_report.print_layouts(results)
    statuses = [result.exit_status for result in results.values()]
    return Exit.DIFFERS if Exit.DIFFERS in statuses else max(statuses)


def predict(options: argparse.Namespace) -> int:
    from harness.report import terminal, words
    from harness.run.nominal import Frame, nominal

    catalog = Catalog(options.case_dir)
    frame = Frame(options.frame)
    rows = []
    for case in catalog.select_cases(options.case):
        for variant in catalog.select_variants(options.variant):
            prediction = nominal(case, variant.policy, frame)
            rows.append(words.prediction_row(case, variant, prediction))
    if options.json:
        _write(options.json, _json({"schema": 1, "frame": frame.value, "predictions": rows}))
    if options.json != "-":
        terminal.print_rows(
            f"predicted with the frame record {frame.value.removeprefix('record-')} the locals",
            ("case", "variant", "class", "corrupt bytes"),
            [(r["case"], r["variant"], r["class"], r["text"]) for r in rows],
        )
    return Exit.AGREES


def list_(options: argparse.Namespace) -> int:
    from harness.report import terminal

    catalog = Catalog(options.case_dir)
    if options.what == "kernels":
        from harness.kernel import spec

        header: tuple[str, ...] = ("name", "shows", "needs")
        rows: list[tuple[str, ...]] = [
            *((name, file.shows, "") for name, file in catalog.kernels.items()),
            (spec.ALL, "each of these", ""),
            *((source.form, source.shows, source.needs) for source in spec.SOURCES),
        ]
    elif options.what == "variants":
        header = ("name", "saves", "origin")
        rows = [(v.name, v.saves, v.origin) for v in catalog.variants.values()]
        rows += [
            ("fixed:N", "min(N, stack top - SP)", "you"),
            ("tree", "what a source tree's own jprobes do", "the tree"),
            ("patch:FILE", "what they do with a patch", "you"),
        ]
    else:
        header = ("name", "arguments", "context", "shows")
        rows = [(c.name, c.signature, c.context.value, c.shows) for c in catalog.cases.values()]
    if options.json:
        _write(options.json, _json([dict(zip(header, row)) for row in rows]))
    if options.json != "-":
        terminal.print_rows(options.what, header, rows)
    return Exit.AGREES


def doctor(options: argparse.Namespace) -> int:
    from harness import doctor as examination
    from harness.report import terminal

    programs = examination.PROGRAMS + (examination.EXTRA_PROGRAMS if options.extra else ())
    findings = examination.examine(programs)
    missing = examination.missing_packages(findings)
    if missing and options.install:
        examination.install(missing)
        findings = examination.examine(programs)
        missing = examination.missing_packages(findings)
    if options.json:
        rows = [
            {
                "program": f.program.name,
                "version": f.version,
                "package": f.program.package,
                "purpose": f.program.purpose,
            }
            for f in findings
        ]
        _write(options.json, _json({"programs": rows, "missing_packages": missing}))
    if options.json != "-":
        terminal.print_rows(
            "system programs",
            ("program", "version", "what it is for"),
            [(f.program.name, f.version or "missing", f.program.purpose) for f in findings],
        )
        if missing:
            print(
                f"\nInstall what is missing with: {' '.join(examination.install_command(missing))}"
            )
    return Exit.INFRASTRUCTURE if missing else Exit.AGREES


def bench(options: argparse.Namespace) -> int:
    from harness.report import terminal
    from harness.run import bench as measurement

    if options.runs < 1:
        raise ConfigError("--runs: give at least 1.")
    with ExitStack() as resources:
        progress = _Progress(resources)
        rows = measurement.measure(
            options.kernel,
            options.runs,
            options=_options(options),
            report=progress.percent,
            step=lambda done: progress.step("paired runs", options.runs, done),
        )
    if options.json:
        _write(options.json, _json({"schema": 1, "runs": options.runs, "rows": rows}))
    if options.json != "-":
        terminal.print_rows(
            f"median of {options.runs} paired runs",
            ("name", "seconds", "ratio to bare", "peak MiB"),
            [
                (
                    row.name,
                    f"{row.seconds:.2f}",
                    f"{row.ratio_to_bare:.2f}",
                    "-" if row.peak_mib is None else f"{row.peak_mib:.0f}",
                )
                for row in rows
            ],
        )
    return Exit.AGREES
