# SPDX-License-Identifier: GPL-2.0-only
"""The regression job: plays a matrix, and reports what is not as it was accepted."""

from __future__ import annotations

import argparse
import os
import subprocess
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from harness.commands.nightly_outputs import add_formats, recall, report
from harness.commands.options import add_store, count
from harness.commands.output import each, each_then
from harness.commands.progress import bars, say
from harness.errors import ConfigError, Exit, HarnessError, InfrastructureError, is_foreseen
from harness.host import home
from harness.steps import progress

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from harness.nightly.matrix import Matrix
    from harness.nightly.night import Report, Step
    from harness.nightly.outputs.html import Past
    from harness.nightly.store import NightlyRun, Store
    from harness.nightly.unit import Done, Unit

SUMMARY = "play a matrix of kernels, variants and cases, remember it, and report regressions"
EXAMPLE = "jprobe-harness nightly configs/nightly/default.yaml"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("matrix", type=Path, metavar="FILE", help="what to play")
    add_store(parser)
    parser.add_argument(
        "--jobs",
        type=count,
        default=max(1, (os.cpu_count() or 1) // 2),
        metavar="N",
        help="how many units to run at once (default: one for every two CPUs)",
    )
    parser.add_argument(
        "--cluster",
        metavar="ADDRESS",
        help="run the units on the workers of a Dask scheduler, such as tcp://127.0.0.1:8786",
    )
    parser.add_argument(
        "--resume",
        action="store_true",
        help="go on with the last run: do what is missing, or failed for no fault of a kernel's",
    )
    parser.add_argument(
        "--accept",
        metavar="WHY",
        help="play nothing: hold later nightly runs against the last one over this matrix",
    )
    parser.add_argument(
        "--bisect",
        action="store_true",
        help="for each regression on a series of Debian's kernels, find the first bad release in"
        " the archive",
    )
    parser.add_argument(
        "--notify",
        metavar="COMMAND",
        help="run this shell command if the status is not 0, with the mail as its input and the"
        " status in NIGHT_STATUS",
    )
    add_formats(parser)


def run(options: argparse.Namespace) -> int:
    from harness.nightly import matrix, night
    from harness.nightly.outputs import summary
    from harness.nightly.store import Store, default_url

    wanted = matrix.load(options.matrix)
    if options.accept is None:
        matrix.check(options.matrix, wanted)
    found: Report | None = None
    failure: Exception | None = None
    with Store(default_url() if options.store is None else options.store) as store:
        if options.accept is not None:
            return _accept(store, wanted, options.accept)
        now = night.resumed(store, wanted) if options.resume else store.begin(wanted)
        try:
            with summary.stoppable(store, now, options.matrix, elsewhere=bool(options.store)):
                try:
                    found, past = _played(options, store, now)
                except KeyboardInterrupt as stop:
                    each_then(
                        stop, lambda: report(options, *recall(store, store.night(now.id), options))
                    )
                    raise
            report(options, found, past)
        except Exception as error:
            failure = error
    each(
        lambda: _raise(failure),
        lambda: _alarm(options.notify, wanted, found, failure),
    )
    assert found
    return found.exit_status


def _raise(failure: Exception | None) -> None:
    if failure:
        raise failure


def _played(options: argparse.Namespace, store: Store, now: NightlyRun) -> tuple[Report, Past]:
    """A nightly run, or what was left of one, with what its formats need."""
    from harness.nightly import cluster, night

    with ExitStack() as resources:
        executor = resources.enter_context(cluster.executor(options.cluster, options.jobs))
        resources.enter_context(bars())
        night.spend(store, now, executor, _show_step)
        found, past = recall(store, store.night(now.id), options)
        if options.bisect:
            found = _bisected(found, executor)
        return found, past


def _show_step(step: Step) -> None:
    from harness.nightly.outputs import summary

    progress("units", step.done, step.planned)
    say(summary.step(step))


def _bisected(found: Report, executor: Executor) -> Report:
    from harness import settings
    from harness.cases.catalog import Catalog
    from harness.kernel import debian
    from harness.nightly import bisect, night
    from harness.nightly.outputs import summary

    kernels, archive = Catalog().kernels, settings.load().archive

    def work(unit: Unit) -> Done:
        progress(f"looking for the first bad release: {unit.kernel}", 0)
        done = night.do(executor, unit)
        progress(f"looking for the first bad release: {unit.kernel}", 100)
        say(summary.ended(done))
        return done

    def releases(spec: str) -> list[str]:
        return debian.releases(spec, kernels, archive)

    return bisect.first_bad(found, releases, work)


def _status(found: Report | None, failure: Exception | None) -> Exit:
    """Return the exit status of the command."""
    if isinstance(failure, HarnessError):
        return failure.exit_status
    if failure and not is_foreseen(failure):
        return Exit.OWN_FAULT
    return found.exit_status if found and not failure else Exit.INFRASTRUCTURE


def _alarm(
    command: str | None, wanted: Matrix, found: Report | None, failure: Exception | None
) -> None:
    """
    Notify the user of a nightly run that does not end with status 0.

    Raises InfrastructureError if that command fails, as the user may not have been notified.
    """
    from harness.nightly.outputs import mail

    status = int(_status(found, failure))
    if not command or not status:
        return
    text = mail.text(found, failure) if found else mail.failed(wanted.name, failure)
    # The user's own command, in the user's own environment.
    done = subprocess.run(
        ["sh", "-c", command], input=text.encode(), env={**os.environ, "NIGHT_STATUS": str(status)}
    )
    if done.returncode:
        raise InfrastructureError(
            f"The command of --notify ended with status {done.returncode};"
            f" the nightly run's is {status}.",
            "The nightly run itself is stored: see jprobe-harness history nights",
        )


def _accept(store: Store, wanted: Matrix, why: str) -> int:
    nights = [night for night in store.nights() if night.matrix == wanted.digest]
    if not why.strip():
        raise ConfigError("--accept: say why.", "The reason is stored with your name.")
    if not nights:
        raise ConfigError("No nightly run over this matrix is remembered.", "Play one first.")
    if len(store.stored(nights[0])) < len(wanted.units):
        raise ConfigError(f"Nightly run {nights[0].id} is incomplete.", "Go on with it: --resume")
    store.accept(nights[0], home.user(), why)
    print(f"Nightly run {nights[0].id} is what later ones are held against.")
    return Exit.AGREES
