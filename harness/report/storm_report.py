# SPDX-License-Identifier: GPL-2.0-only
"""Reports on storms, for people and as JSON."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from harness.measure.storm import StormOutcome, StormResult
from harness.model.storm import CONTEXTS, Storm
from harness.report import summaries
from harness.report.terminal import COMPLAINT, MISMATCH, console, print_rows, say
from harness.run.logs import see

HEADER = (
    "variant", "hits", "handler runs", "missed", "skipped", "corrupt", "at once", "as predicted"
)  # fmt: skip


def document(result: StormResult) -> dict[str, Any]:
    """Return the storms as a JSON document."""
    return {
        "schema": 2,
        "written": summaries.now(),
        "kernel": result.release,
        "compiler": result.compiler,
        "cpus": result.cpus,
        "seconds": result.seconds,
        "exit_status": int(result.exit_status),
        "errors": list(result.errors),
        "storms": [_row(outcome) for outcome in result.outcomes],
    }


def _row(outcome: StormOutcome) -> dict[str, Any]:
    row: dict[str, Any] = {
        "variant": outcome.variant.name,
        "agrees": not outcome.reasons,
        "reasons": list(outcome.reasons),
    }
    if outcome.storm is None:
        return row
    storm = outcome.storm
    callers = [{**asdict(caller), "context": caller.context.value} for caller in storm.callers]
    return {
        **row,
        "milliseconds": storm.milliseconds,
        "hits": storm.hits,
        "handler": storm.handler,
        "missed": storm.missed,
        "skipped": storm.skipped,
        "corrupt": storm.corrupt,
        "at_once": storm.at_once,
        "callers": callers,
    }


def _cells(storm: Storm | None) -> list[str]:
    if storm is None:
        return ["-"] * 6
    numbers = (storm.hits, storm.handler, storm.missed, storm.skipped, storm.corrupt)
    return [*(f"{number:,}" for number in numbers), f"{storm.at_once} CPUs"]


def print_storms(result: StormResult) -> None:
    """Print the table, what differs, and a summary."""
    out = console()
    print_rows(
        f"{result.release}: one jprobe on {result.cpus} CPUs at once",
        HEADER,
        [
            (o.variant.name, *_cells(o.storm), f"{MISMATCH}no" if o.reasons else "yes")
            for o in result.outcomes
        ],
    )
    for outcome in result.outcomes:
        for reason in summaries.few(outcome.reasons):
            say(f"{MISMATCH}{outcome.variant.name}: {reason}", COMPLAINT)
    for error in summaries.few([str(error) for error in result.kernel_errors]):
        say(f"{MISMATCH}{error}", COMPLAINT)
    for error in summaries.few((*result.harness_errors, *result.retried)):
        say(f"Our own tools failed: {error}", "yellow")
    out.print()
    say(summary(result), "bold")
    if result.exit_status:
        say(see(result.logs))


def summary(result: StormResult) -> str:
    """Return the storms in one sentence."""
    agree = sum(not outcome.reasons for outcome in result.outcomes)
    storms = [outcome.storm for outcome in result.outcomes if outcome.storm]
    hits = sum(storm.hits for storm in storms)
    by_context = {
        context: sum(c.calls for s in storms for c in s.callers if c.context is context)
        for context in CONTEXTS
    }
    shares = " and ".join(f"{calls:,} in {context.value}" for context, calls in by_context.items())
    return (
        f"{agree} of {result.planned} storms of {result.seconds:g} s as predicted;"
        f" {hits:,} hits, {shares} context."
    )
