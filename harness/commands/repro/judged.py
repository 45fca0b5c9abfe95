# SPDX-License-Identifier: GPL-2.0-only
"""Runs that end with a table: over one kernel, several, or one without and with patches."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import replace

from harness import fault
from harness.commands.progress import bars
from harness.commands.repro.request import ReproRequest
from harness.errors import OwnFault, Stopped
from harness.guest.deadlines import Deadlines
from harness.kernel.options import Options
from harness.run import job, players, repro
from harness.run.result import Broken, Comparison, Interrupted, Result, Unjudged


def judge(request: ReproRequest, kernel: str, options: Options) -> Result:
    """Play the plan on one kernel; raises one of result.ENDED with what there is."""
    with bars(), players.playing(request.jobs):
        return job.judge(
            request.target(kernel, options),
            request.catalog,
            request.plan,
            functools.partial(
                repro.run,
                deadlines=Deadlines(play=request.deadline),
                observer=request.observer(),
            ),
        )


def several(request: ReproRequest) -> Comparison:
    """Play the plan on each kernel."""
    return _comparison(
        {name: functools.partial(judge, request, name, request.kernel) for name in request.specs}
    )


def patched(request: ReproRequest) -> Comparison:
    """Play the plan on a tree, and on the same one with the patches."""
    (name,) = request.specs
    return _comparison(
        {
            name: functools.partial(judge, request, name, request.kernel),
            f"{name} + patch": functools.partial(judge, request, name, request.patched),
        }
    )


def _comparison(runs: Mapping[str, Callable[[], Result]]) -> Comparison:
    """Call each run, by its kernel's spec; one that cannot be judged does not stop the others."""
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
            known = fault.foreseen(error) or fault.reported(error)
            unjudged.append(Unjudged(name, known.sentence, known.hint, known.exit_status))
    return Comparison(tuple(results), tuple(unjudged), ended)
