# SPDX-License-Identifier: GPL-2.0-only
"""Reports on a fuzz run, for people and as JSON."""

from __future__ import annotations

from collections import Counter
from typing import Any

from harness.measure.fuzz import Campaign
from harness.report import summaries
from harness.report.terminal import COMPLAINT, console, print_differing, say
from harness.run.logs import see
from harness.run.plan import Outcome


def summary(campaign: Campaign) -> str:
    """Return a fuzz run in one sentence."""
    agreeing = sum(campaign.classes.values())
    unplayed = campaign.count - agreeing - len(campaign.failures)
    text = f"{agreeing} of {campaign.count} signatures of seed {campaign.seed} as predicted"
    text += summaries.classes(_by_count(campaign))
    if campaign.failures:
        text += f"; {len(campaign.failures)} not as predicted"
    if unplayed > 0:
        text += f"; {unplayed} not played"
    return f"{text}; {campaign.compiled} went through a compiler."


def _by_count(campaign: Campaign) -> dict[str, int]:
    return dict(Counter(campaign.classes).most_common())


def document(campaign: Campaign) -> dict[str, Any]:
    """Return a fuzz run as a JSON document."""
    return {
        "schema": 2,
        "kernel": campaign.release,
        "compiler": campaign.compiler,
        "seed": campaign.seed,
        "count": campaign.count,
        "played": campaign.played,
        "compiled": campaign.compiled,
        "exit_status": int(campaign.exit_status),
        "classes": _by_count(campaign),
        "digest": campaign.digest,
        "errors": list(campaign.errors),
        "failures": [
            {
                "case": failure.play.case.name,
                "variant": failure.play.variant.name,
                "signature": failure.play.case.signature,
                "reasons": list(failure.reasons),
            }
            for failure in campaign.failures
        ],
    }


def print_campaign(
    campaign: Campaign, shrunk: Outcome | None, command: str, everything: bool = False
) -> None:
    """Print the failures, the simplest one with the command that plays it, and a summary."""
    out = console()
    print_differing(campaign.failures, everything)
    for error in summaries.few(campaign.errors):
        say(error, COMPLAINT)
    if shrunk:
        out.print()
        say(f"The simplest that fails too: {shrunk.play.case.signature}", "bold")
        for reason in summaries.few(shrunk.reasons):
            say(reason, depth=4)
        say(f"Play it with: {command}")
    if campaign.failures or campaign.errors:
        out.print()
    say(summary(campaign), "bold")
    say(f"Digest of all that was observed: {campaign.digest[:16]}")
    if campaign.errors:
        say(see(campaign.logs))
