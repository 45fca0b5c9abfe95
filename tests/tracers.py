# SPDX-License-Identifier: GPL-2.0-only
"""
Write the table of docs/tracers.md: python -m tests.tracers [RESULT.json]

It comes from tests/unit/data/tracers.json, which has what `tracers --json` wrote of three kernels,
cut down to what the table needs; where a result is given, from that, which is kept there first.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.answers import text
from harness.tracers.catalog import tracers
from harness.tracers.tracer import Tracer
from tests.tower import ROOT

PAGE = ROOT / "docs/tracers.md"
KEPT = ROOT / "tests/unit/data/tracers.json"
KERNELS = ("debian:6.1", "debian:6.12", "debian:7.2")
_BEGIN = "<!-- tracers: python -m tests.tracers -->\n"
_END = "<!-- end of the tracers -->\n"
_CELL = ("tracer", "case", "status", "refused", "called")


@dataclass(frozen=True)
class Column:
    """What is asked of each tracer: how it reads some arguments of a case."""

    head: str
    case: str
    first: int
    # One argument, or all from the first on.
    several: bool = False


COLUMNS = (
    Column("nine or more arguments", "stack-12", 0, several=True),
    Column("a struct by value", "struct-9-registers", 1),
    Column("behind a struct by value", "struct-9-registers", 2),
    Column("a struct by reference", "by-ref-24", 1),
    Column("behind a struct by reference", "by-ref-24", 2),
    Column("a stacked struct aligned to 16 bytes", "struct-16-aligned", 9),
    Column("behind that", "struct-16-aligned", 10),
    Column("a variadic function", "variadic-registers", 0),
)
CASES = tuple(dict.fromkeys(column.case for column in COLUMNS))

Json = dict[str, Any]
# By kernel, tracer and case.
Cells = Mapping[tuple[str, str, str], Json]


def cut(document: Json) -> Json:
    """Return what the table needs of a document."""
    return {
        "kernels": [
            {
                "kernel": kernel["kernel"],
                "release": kernel["release"],
                "cells": [_cut(one) for one in kernel["cells"] if one["case"] in CASES],
            }
            for kernel in document["kernels"]
        ]
    }


def _cut(cell: Json) -> Json:
    arguments = cell["arguments"]
    return {
        **{name: cell[name] for name in _CELL},
        "read": [argument["read"] for argument in arguments],
        "changed": [index for index, argument in enumerate(arguments) if argument["changed"]],
    }


def kept(document: Json) -> str:
    """Return a result that was cut as it is kept, with a line for each cell."""
    kernels = []
    for kernel in document["kernels"]:
        head = json.dumps({"kernel": kernel["kernel"], "release": kernel["release"]})
        cells = ",\n".join(json.dumps(cell) for cell in kernel["cells"])
        kernels.append(f'{head[:-1]}, "cells": [\n{cells}\n]}}')
    return '{"kernels": [\n' + ",\n".join(kernels) + "\n]}\n"


def stored() -> Json:
    """Return the result that is kept."""
    result: Json = json.loads(KEPT.read_text())
    return result


def cells(document: Json) -> Cells:
    """Return the cells of a result that was cut."""
    return {
        (kernel["kernel"], one["tracer"], one["case"]): one
        for kernel in document["kernels"]
        for one in kernel["cells"]
    }


def table(document: Json) -> Iterator[tuple[str, ...]]:
    """Yield the rows: names, what is read, what is left, since when and on which kernels."""
    found = cells(document)
    names = list(dict.fromkeys(tracer for _, tracer, _ in found))
    alike: dict[tuple[str, ...], list[str]] = {}
    for name in names:
        kernels = [kernel for kernel in KERNELS if _has(found, kernel, name)]
        row = (
            *(_read(found, kernels, name, column) for column in COLUMNS),
            _left(found, kernels, name),
            f"v{_since(tracers()[name])}",
            ", ".join(map(_number, kernels)),
        )
        alike.setdefault(row, []).append(name)
    for row, same in alike.items():
        yield ", ".join(same), *row


HEADS = ("tracer", *(column.head for column in COLUMNS), "leaves", "since", "here on")


def _has(found: Cells, kernel: str, name: str) -> bool:
    return any(not found[kernel, name, case]["refused"] for case in CASES)


def _since(tracer: Tracer) -> str:
    return ".".join(map(str, tracer.rules[0].since))


def _number(kernel: str) -> str:
    return kernel.partition(":")[2]


def _read(found: Cells, kernels: Sequence[str], name: str, column: Column) -> str:
    """Return how a column's arguments are read, by kernel where that differs."""
    by_kernel = {kernel: _words(found[kernel, name, column.case], column) for kernel in kernels}
    if len(set(by_kernel.values())) == 1:
        return by_kernel[kernels[0]]
    return "; ".join(f"{_number(kernel)}: {words}" for kernel, words in by_kernel.items())


def _words(cell: Json, column: Column) -> str:
    if cell["refused"]:
        return "refused"
    reads = cell["read"][column.first :] if column.several else [cell["read"][column.first]]
    wrong = [index for index, read in enumerate(reads) if read != "right"]
    if not wrong:
        return "right"
    if not column.several:
        return str(reads[0])
    return f"{reads[wrong[0]]} from the {column.first + wrong[0] + 1}th on"


def _left(found: Cells, kernels: Sequence[str], name: str) -> str:
    """Return what a tracer leaves of the arguments, by kernel."""
    by_words: dict[str, list[str]] = {}
    for kernel in kernels:
        for case in CASES:
            cell = found[kernel, name, case]
            for index in cell["changed"]:
                by_words.setdefault(f"changes the {index + 1}th argument of {case}", []).append(
                    kernel
                )
            if not (cell["called"] or cell["refused"]):
                by_words.setdefault(f"does not call {case}", []).append(kernel)
    parts = [
        words + ("" if on == list(kernels) else f" on {', '.join(map(_number, on))}")
        for words, on in by_words.items()
    ]
    return "; ".join(parts) or "all as passed"


def page(old: str, document: Json) -> str:
    """Return the page with the table of a result that was cut."""
    before, _, rest = old.partition(_BEGIN)
    lines = text.table(HEADS, list(table(document)))
    made = "".join(f"{line}\n" for line in ("", sentence(document), "", *lines, ""))
    return before + _BEGIN + made + _END + rest.partition(_END)[2]


def sentence(document: Json) -> str:
    """Return where the table is from."""
    releases = ", ".join(kernel["release"] for kernel in document["kernels"])
    judged = [cell["status"] for kernel in document["kernels"] for cell in kernel["cells"]]
    agree = judged.count("as predicted")
    return f"From {releases}; {agree:,} of {len(judged):,} cells as predicted."


if __name__ == "__main__":
    for name in sys.argv[1:]:
        KEPT.write_text(kept(cut(json.loads(Path(name).read_text()))))
    PAGE.write_text(page(PAGE.read_text(), stored()))
