# SPDX-License-Identifier: GPL-2.0-only
"""The catalogue as a page of the documentation: python -m tests.faults.page"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tests.faults.catalogue import FAULTS, GROUPS
from tests.faults.fault import Blame, Fault

PAGE = Path(__file__).parents[2] / "docs/reliability.md"
# The tables follow this line.
_BEGIN = "<!-- Below: python -m tests.faults.page -->\n"
_WHOSE = {
    Blame.NOBODY: "nobody's",
    Blame.KERNEL: "the kernel's",
    Blame.USER: "what was asked for",
    Blame.MACHINE: "this machine's",
    Blame.OURSELVES: "the program's own",
}


def _row(fault: Fault) -> str:
    kept = "all" if fault.ends == 0 else str(fault.kept or "-")
    return f"| {fault.name} | {_WHOSE[fault.blame]} | {fault.ends} | {kept} |\n"


def _tables() -> Iterator[str]:
    yield f"\n{len(FAULTS)} faults.\n"
    for group in GROUPS:
        yield f"\n## {(group.__doc__ or '').rstrip('.')}\n\n"
        yield "| what is wrong | whose fault | status | verdicts |\n| --- | --- | --- | --- |\n"
        yield from map(_row, group.FAULTS)


def page(old: str) -> str:
    """Return the page with the tables made from the catalogue."""
    return old.partition(_BEGIN)[0] + _BEGIN + "".join(_tables())


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text()))
