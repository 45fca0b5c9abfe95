# SPDX-License-Identifier: GPL-2.0-only
"""
Record tests/unit/data/records anew, from a real guest.

    python -m tests.guest.golden

This is needed whenever the format of a record changes.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from random import Random

from harness.cases.catalog import Catalog
from harness.cases.generator import draw
from harness.guest.protocol import Parser
from harness.guest.records import Record
from harness.inspect.guest import booted
from harness.kernel import DEFAULT
from harness.model.assembled import assemble
from harness.run import job

# A case that is sent as data, for the variant "none".
ASSEMBLED = assemble(draw(2016, 9), Random(2016))
RECORDS = Path(__file__).parents[1] / "unit/data/records"
PLAYS = (
    ("none", "stack-9"),
    ("fixed-128", "by-ref-256"),
    ("v15", "irq-stack-9"),
    ("fp-delta", "invalid-fp-stack-9"),
    ("thread-size", "rollback-list-cpu"),
    ("none", "va-list-stack"),
    ("fixed-64", "nested-interrupt-stack-9"),
    ("none", "real-tcp-listener"),
    ("fixed-128", "real-vprintk-store"),
)


def main() -> None:
    catalog = Catalog()
    kernel, modules = job.prepare(DEFAULT, catalog)
    # A clone sends more: it proves what it is.
    kernel = replace(kernel, cold=True)
    taken = bytearray()
    feed = Parser.feed

    def tap(self: Parser, data: bytes) -> list[Record]:
        taken.extend(data)
        return feed(self, data)

    Parser.feed = tap  # type: ignore[method-assign]
    with booted(kernel, modules) as guest:
        for variant, case in PLAYS:
            guest.play(catalog.variants[variant], catalog.cases[case])
        guest.session.send("play ~ none 0 1000")
        guest.session.wait(10)
        guest.session.send(f"play = none 0 {ASSEMBLED.data}")
        guest.session.wait(10)
        guest.session.send("play nonsense none 0")
        guest.session.wait(10)
        guest.run("echo hello; false")
    RECORDS.write_bytes(bytes(taken))


if __name__ == "__main__":
    main()
