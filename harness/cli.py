# SPDX-License-Identifier: GPL-2.0-only
"""The command jprobe-harness."""

from __future__ import annotations

import argparse
import functools
import io
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from harness import __version__, settings
from harness.catalog import Catalog
from harness.errors import ConfigError, Exit, HarnessError, InfrastructureError
from harness.kernel.spec import DEFAULT

if TYPE_CHECKING:
    from harness.kernel.compiler import Compiler
    from harness.run.plan import Result

EPILOG = (
    "exit status: 0 all as predicted, 1 a verdict differs or the kernel died, 2 usage or"
    " configuration, 3 the infrastructure failed or the run is incomplete"
)


# As many as QEMU's virt machine has room for with its default interrupt controller.
CPUS_MAX = 8


class _Parser(argparse.ArgumentParser):
    """Ends with one sentence and the documented status."""

    def error(self, message: str) -> NoReturn:
        print(f"{self.prog}: {message}.\n  See: {self.prog} --help", file=sys.stderr)
        sys.exit(Exit.USAGE)


def _add_variants(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--variant",
        action="append",
        default=[],
        metavar="NAME",
        help="a stack policy, a shell pattern, or fixed:N; repeatable (default: all)",
    )


def _add_selection(parser: argparse.ArgumentParser) -> None:
    _add_variants(parser)
    parser.add_argument(
        "--case",
        action="append",
        default=[],
        metavar="NAME",
        help="a case or a shell pattern such as 'stack-*'; repeatable (default: all)",
    )
    _add_case_dir(parser)


def _add_case_dir(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--case-dir",
        action="append",
        default=[],
        type=Path,
        metavar="DIR",
        help="further cases and variants: DIR/cases/*.yaml (or DIR/*.yaml), DIR/variants/*.yaml",
    )


def _add_kernel(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--kernel", default=DEFAULT, metavar="SPEC", help=f"which kernel (default: {DEFAULT})"
    )
    parser.add_argument(
        "--refresh",
        action="store_true",
        help="ask the archive for a newer kernel even if it was asked today",
    )


def _add_cc(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--cc",
        default="gcc",
        metavar="COMPILER",
        help="what compiles the test modules: gcc, clang, one with a version (default: gcc)",
    )


def _add_json(parser: argparse.ArgumentParser, what: str) -> None:
    parser.add_argument(
        "--json", metavar="FILE", help=f"write {what} as JSON; '-' for standard output"
    )


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 < value <= 86400:
        raise ValueError
    return value


def _count(text: str) -> int:
    value = int(text)
    if not 1 <= value <= 10**7:
        raise ValueError
    return value


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = _Parser(
        prog="jprobe-harness",
        description="Measures which arguments a jprobe's stack policy leaves corrupt.",
        epilog=EPILOG,
    )
    top.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(
        name: str, run: Callable[[argparse.Namespace], int], summary: str, example: str
    ) -> argparse.ArgumentParser:
        command = commands.add_parser(
            name,
            help=summary,
            description=f"{summary[0].upper()}{summary[1:]}.",
            epilog=f"example: {example}",
        )
        command.set_defaults(run=run)
        return command

    command = add(
        "repro",
        repro,
        "boot a kernel, play the cases under the variants, judge every byte",
        "jprobe-harness repro --variant fixed-128 --case 'stack-*' --json out.json",
    )
    _add_kernel(command)
    _add_cc(command)
    _add_selection(command)
    _add_json(command, "the verdicts")
    command.add_argument("--junit", metavar="FILE", help="write JUnit XML")
    command.add_argument("--ktap", metavar="FILE", help="write KTAP")
    command.add_argument(
        "--deadline",
        type=_seconds,
        default=30,
        metavar="SECONDS",
        help="how long one play may take before it counts as hung (default: 30)",
    )
    command.add_argument(
        "--witness",
        choices=("gdb",),
        help="a debugger looks on, and must have seen what the guest tells",
    )

    command = add(
        "fuzz",
        fuzz,
        "play random signatures, each under one of the variants, and judge every byte",
        "jprobe-harness fuzz --seed 7 --count 20000 --variant fixed-128",
    )
    _add_kernel(command)
    _add_cc(command)
    _add_variants(command)
    command.add_argument(
        "--seed", type=int, default=1, metavar="S", help="what is drawn (default: 1)"
    )
    command.add_argument(
        "--count", type=_count, default=2000, metavar="N", help="signatures (default: 2000)"
    )
    command.add_argument(
        "--compiled",
        type=int,
        metavar="N",
        help="the first so many are compiled, the others carried as data (default: 50)",
    )
    command.add_argument(
        "--out",
        type=Path,
        default=Path(),
        metavar="DIR",
        help="where the case file of a failure is written (default: here)",
    )
    _add_json(command, "the result")

    command = add(
        "storm",
        storm,
        "have all CPUs hit one jprobe at once, and account for every hit",
        "jprobe-harness storm --seconds 10 --cpus 4 --variant fixed-128",
    )
    _add_kernel(command)
    _add_cc(command)
    _add_variants(command)
    command.add_argument(
        "--seconds", type=_seconds, default=10, metavar="S", help="of each variant (default: 10)"
    )
    command.add_argument(
        "--cpus",
        type=int,
        choices=range(2, CPUS_MAX + 1),
        default=4,
        metavar="N",
        help=f"the guest's, 2 to {CPUS_MAX} (default: 4)",
    )
    _add_json(command, "the counts")

    command = add(
        "layout",
        layout,
        "show where compilers keep FP and by-reference copies, side by side",
        "jprobe-harness layout --cc gcc --cc clang --case 'by-ref-*'",
    )
    _add_kernel(command)
    command.add_argument(
        "--cc",
        action="append",
        default=[],
        metavar="COMPILER",
        help="gcc, clang, one with a version; repeatable (default: gcc and clang)",
    )
    _add_selection(command)
    _add_json(command, "the facts")

    command = add(
        "predict",
        predict,
        "say what a variant does to a case, without a guest",
        "jprobe-harness predict --variant fixed-128 --case stack-25",
    )
    _add_selection(command)
    _add_json(command, "the predictions")
    command.add_argument(
        "--frame",
        choices=("record-below", "record-above"),
        default="record-below",
        help="where the caller's compiler keeps the frame record, below its locals (gcc 12)"
        " or above them (gcc 16)",
    )

    command = add(
        "list",
        list_,
        "list kernels, variants or cases",
        "jprobe-harness list cases --case-dir my-cases",
    )
    command.add_argument("what", choices=("kernels", "variants", "cases"))
    _add_case_dir(command)
    _add_json(command, "the list")

    command = add(
        "doctor",
        doctor,
        "check the system programs that are needed",
        "jprobe-harness doctor --install",
    )
    command.add_argument(
        "--install", action="store_true", help="install what is missing (as root or with sudo)"
    )
    command.add_argument(
        "--extra", action="store_true", help="also what only a second compiler needs (--cc clang)"
    )
    _add_json(command, "the findings")

    command = add(
        "bench",
        bench,
        "measure the whole job against a bare boot of the same kernel",
        "jprobe-harness bench --runs 10 --json bench.json",
    )
    _add_kernel(command)
    command.add_argument(
        "--runs", type=int, default=5, metavar="N", help="pairs of runs (default: 5)"
    )
    _add_json(command, "the rows")
    return top


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


def _check_writable(options: argparse.Namespace) -> None:
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


def repro(options: argparse.Namespace) -> int:
    from harness.run import job
    from harness.run.plan import Interrupted, plays
    from harness.run.repro import run
    from harness.run.session import Deadlines

    catalog = Catalog(options.case_dir)
    plan = plays(catalog.select_variants(options.variant), catalog.select_cases(options.case))
    played = 0
    with ExitStack() as resources:
        progress = _Progress(resources)

        def on_boot() -> None:
            # The guest needs a second to boot; load what comes after it now.
            from harness.report import terminal  # noqa: F401

            progress.step("playing", len(plan), played)

        def on_outcome(outcome: object) -> None:
            nonlocal played
            played += 1
            progress.step("playing", len(plan), played)

        kernel, modules = job.prepare(
            options.kernel,
            catalog,
            compiler=_compiler(options.cc),
            refresh=options.refresh,
            report=progress.percent,
        )
        try:
            result = run(
                kernel,
                modules,
                plan,
                deadlines=Deadlines(play=options.deadline),
                witness=bool(options.witness),
                on_boot=on_boot,
                on_outcome=on_outcome,
            )
        except Interrupted as interrupted:
            result = interrupted.result
    _report(options, result)
    return result.exit_status


def _report(options: argparse.Namespace, result: Result) -> None:
    """Tell the result everywhere; what cannot be written does not stop the rest."""
    from harness.report import terminal

    if "-" not in (options.json, options.junit, options.ktap):
        terminal.print_result(result)
        if len(result.outcomes) == 1:
            terminal.print_dump(result.outcomes[0])
    failure = None
    for path, make in (
        (options.json, _as_json),
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


def _as_json(result: Result) -> bytes:
    from harness.report import json_report

    return _json(json_report.document(result))


def _as_junit(result: Result) -> bytes:
    from harness.report import junit

    return junit.document(result).encode()


def _as_ktap(result: Result) -> bytes:
    from harness.report import ktap

    return ktap.document(result).encode()


def fuzz(options: argparse.Namespace) -> int:
    from harness import casefile
    from harness.kernel import modules, spec
    from harness.report import fuzz_report
    from harness.run import fuzz as fuzzing

    catalog = Catalog()
    build = functools.partial(modules.build, compiler=_compiler(options.cc))
    if not options.out.is_dir():
        raise ConfigError(f"{options.out}: no such directory.", "Check --out.")
    with ExitStack() as resources:
        progress = _Progress(resources)
        kernel = spec.resolve(
            options.kernel,
            catalog,
            settings.load(),
            refresh=options.refresh,
            report=progress.percent,
        )
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
            f"jprobe-harness repro --kernel {options.kernel} --case-dir {options.out}"
            f" --case {play.case.name} --variant {play.variant.name}"
        )
    if options.json:
        _write(options.json, _json(fuzz_report.document(campaign)))
    if options.json != "-":
        fuzz_report.print_campaign(campaign, shrunk, command)
    return campaign.exit_status


def storm(options: argparse.Namespace) -> int:
    from harness.report import storm_report
    from harness.run import job
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

        kernel, modules = job.prepare(
            options.kernel,
            catalog,
            compiler=_compiler(options.cc),
            refresh=options.refresh,
            report=progress.percent,
        )
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
    from harness.report import layout_report
    from harness.run import job
    from harness.run.plan import plays
    from harness.run.repro import run

    catalog = Catalog(options.case_dir)
    plan = plays(catalog.select_variants(options.variant), catalog.select_cases(options.case))
    names = list(dict.fromkeys(options.cc or ("gcc", "clang")))
    results = {}
    with ExitStack() as resources:
        progress = _Progress(resources)
        for number, name in enumerate(names):
            kernel, modules = job.prepare(
                options.kernel,
                catalog,
                compiler=_compiler(name),
                refresh=options.refresh and not number,
                report=progress.percent,
            )
            progress.step("compilers", len(names), number)
            results[name] = run(kernel, modules, plan)
    if options.json:
        _write(options.json, _json(layout_report.document(results)))
    if options.json != "-":
        layout_report.print_layouts(results)
    return max(result.exit_status for result in results.values())


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
        header: tuple[str, ...] = ("name", "shows")
        rows: list[tuple[str, ...]] = [(name, file.shows) for name, file in catalog.kernels.items()]
    elif options.what == "variants":
        header = ("name", "saves", "origin")
        rows = [(v.name, v.saves, v.origin) for v in catalog.variants.values()]
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
            refresh=options.refresh,
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


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    options = parser().parse_args(arguments)
    for stream in (sys.stdout, sys.stderr):
        # A terminal of another encoding gets a question mark, not a traceback.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        _check_writable(options)
        status: int = options.run(options)
        # Here, as at the interpreter's end nobody would catch a closed pipe.
        sys.stdout.flush()
    except HarnessError as error:
        print(f"jprobe-harness: {error.sentence}", file=sys.stderr)
        if error.hint:
            print(f"  {error.hint}", file=sys.stderr)
        return error.exit_status
    except KeyboardInterrupt:
        print("jprobe-harness: interrupted.", file=sys.stderr)
        return Exit.INFRASTRUCTURE
    except BrokenPipeError:
        # A reader such as head has seen enough; keep the interpreter from flushing.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.INFRASTRUCTURE
    except OSError as error:
        print(f"jprobe-harness: {error}.\n  Check the disk and its permissions.", file=sys.stderr)
        return Exit.INFRASTRUCTURE
    return status


if __name__ == "__main__":
    sys.exit(main())
