# SPDX-License-Identifier: GPL-2.0-only
"""Reports what hits cost, for people and as JSON."""

from __future__ import annotations

from typing import Any

from harness.measure.cost import CostOutcome, CostResult
from harness.report import summaries
from harness.report.terminal import COMPLAINT, MISMATCH, print_rows, say
from harness.run.logs import see

HEADER = ("variant", "saves", "instructions per hit", "as predicted")


def document(result: CostResult) -> dict[str, Any]:
    """Return the costs as a JSON document."""
    return {
        "schema": 2,
        "written": summaries.now(),
        "kernel": result.release,
        "compiler": result.compiler,
        "exit_status": int(result.exit_status),
        "errors": list(result.errors),
        "costs": [
            {
                "variant": outcome.variant.name,
                "instructions": _rounded(outcome.instructions),
                "saved": outcome.saved,
                "agrees": not outcome.reasons,
                "reasons": list(outcome.reasons),
            }
            for outcome in result.outcomes
        ],
    }


def _rounded(instructions: float | None) -> float | None:
    return None if instructions is None else round(instructions, 2)


def _row(outcome: CostOutcome) -> tuple[str, ...]:
    instructions = outcome.instructions
    return (
        outcome.variant.name,
        f"{outcome.saved:,} bytes" if outcome.cost else "-",
        "-" if instructions is None else f"{instructions:,.0f}",
        f"{MISMATCH}no" if outcome.reasons else "yes",
    )


def print_costs(result: CostResult) -> None:
    """Print the table of costs, and what went wrong."""
    print_rows(
        f"{result.release}: what a jprobe adds to a call",
        HEADER,
        [_row(outcome) for outcome in result.outcomes],
    )
    for outcome in result.outcomes:
        for reason in summaries.few(outcome.reasons):
            say(f"{MISMATCH}{outcome.variant.name}: {reason}", COMPLAINT)
    for error in summaries.few([str(error) for error in result.kernel_errors]):
        say(f"{MISMATCH}{error}", COMPLAINT)
    for error in summaries.few((*result.harness_errors, *result.retried)):
        say(f"Our own tools failed: {error}", "yellow")
    if result.exit_status:
        say(see(result.logs))
