# SPDX-License-Identifier: GPL-2.0-only
"""The cells of tracers for people: a table that is no longer than it has to be, and the bytes."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence

import pytest

from harness.report import terminal
from harness.report.tracers import tables
from harness.tracing.run import Tracing
from tests.unit.test_tracers_report import ODD, WRONG
from tests.unit.traced import beside, cell, every, tracing


def shown(
    found: Sequence[Tracing], capsys: pytest.CaptureFixture[str], everything: bool = False
) -> list[str]:
    tables.show(found, everything)
    return capsys.readouterr().out.splitlines()


def test_the_table_of_one_kernel(capsys: pytest.CaptureFixture[str]) -> None:
    lines = shown([every()], capsys)
    assert lines[0].startswith("7.2.0-arm64: arguments by what each tracer read them as, and cells")
    heads = "tracer  right  truncated  an address  zero  another's  absent  cells"
    assert re.split("  +", lines[1]) == heads.split("  ")
    (fexit,) = [re.split("  +", line) for line in lines if line.startswith("fexit ")]
    assert fexit == ["fexit", "32", "0", "0", "0", "2", "0", "1 changed, 2 refused"]
    assert "changed by fexit, fmod-ret in struct-16-aligned: argument 10, byte 0-7" in lines
    assert "not called with redirect: variadic-registers" in lines
    assert lines[-1] == "84 of 84 cells as predicted."
    # A column that would be empty is not there.
    lines = shown([tracing(cell("kprobe", "stack-9"), cell("func-args", "stack-8"),
                           cell("kprobe", "stack-8"))], capsys)  # fmt: skip
    assert lines[1].split() == ["tracer", "right", "zero", "absent", "cells"]


def test_kernels_side_by_side(capsys: pytest.CaptureFixture[str]) -> None:
    found = [every("debian:6.12", (6, 12)), every()]
    lines = shown(found, capsys)
    assert lines[0] == "cells as predicted, and what is in them"
    assert re.fullmatch(r"tracer +debian:6\.12 +debian:7\.2", lines[1])
    (fexit,) = [line for line in lines if line.startswith("fexit ")]
    assert re.fullmatch(r"fexit  +6 of 6, 4 refused  +6 of 6, 1 changed, 2 refused", fexit)
    assert not any("arguments by what" in line for line in lines)
    assert any(line.startswith("changed by fexit") and "debian:7.2" in line for line in lines)
    assert "not called with redirect: variadic-registers on debian:6.12, debian:7.2" in lines
    assert sum("arguments by what" in line for line in shown(found, capsys, True)) == 2


def test_one_tracer_on_several_cases(capsys: pytest.CaptureFixture[str]) -> None:
    cells = [cell("kprobe", name) for name in ("stack-8", "stack-9", "by-ref-24")]
    old = [cell("kprobe", name, (5, 10)) for name in ("stack-8", "stack-9")]
    lines = shown([tracing(*cells), tracing(*old, spec="debian:5.10", planned=3)], capsys)
    assert lines[0] == "what kprobe read of each argument"
    assert re.fullmatch(r"stack-9 +right x8, zero x1 +right x8, zero x1", lines[3])
    assert re.fullmatch(r"by-ref-24 +right x1, an address x1, right x1 +not played", lines[4])


def test_many_cases_that_were_read_alike_are_one_row(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ("stack-9", "irq-stack-9", "stack-8", "softirq-stack-9", "top-stack-9")
    made = [tracing(*(cell("kprobe", name) for name in names))]
    assert len(shown(made, capsys)) == len(names) + 4
    monkeypatch.setattr(tables, "CASES", 3)
    lines = shown(made, capsys)
    assert re.fullmatch(
        "stack-9, irq-stack-9, softirq-stack-9, top-stack-9 +right x8, zero x1", lines[2]
    )
    assert re.fullmatch("stack-8 +right x8", lines[3])
    assert len(shown(made, capsys, True)) == len(names) + 4


def test_one_case_under_several_tracers(capsys: pytest.CaptureFixture[str]) -> None:
    names = ("kprobe", "fexit", "func-args", "kprobe-exact", "redirect")
    lines = shown([tracing(*(cell(name, "struct-16-aligned") for name in names))], capsys)
    assert lines[0].startswith("what was read of each argument of struct-16-aligned: 9 x long")
    assert re.fullmatch(r"fexit +right x9, another's x2; changed: argument 10", lines[3])
    # Many cells are not printed byte by byte.
    assert not any("as passed" in line for line in lines)


def test_one_cell_is_printed_byte_by_byte(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made = [tracing(cell("fexit", "struct-16-aligned"))]
    lines = shown(made, capsys)
    assert lines[0] == "changed by fexit in struct-16-aligned: argument 10, byte 0-7"
    assert sum("right" in line for line in lines[2:]) == 10
    value = made[0].cells[0].passed[10].value
    (last,) = [line for line in lines if line.startswith("10 long")]
    assert last.split() == [
        "10", "long", value.hex(), (flipped := bytes(o ^ 0xFF for o in value).hex()),
        "another's", f"[{flipped}]",
    ]  # fmt: skip
    # A narrow terminal has fewer octets in a row.
    monkeypatch.setattr(tables, "WIDE", terminal.PIPE_WIDTH + 1)
    assert any(line.startswith("9 +0x8 ") for line in shown(made, capsys))


def test_a_jprobe_beside_a_tracer(capsys: pytest.CaptureFixture[str]) -> None:
    changed = beside()
    made = [tracing(changed, cell("kprobe-exact", "stack-9"))]
    lines = shown(made, capsys)
    assert lines[0] == "what was read of each argument of stack-9: 9 x long"
    name = "kprobe-exact beside none"
    assert re.fullmatch(f"{name} +right x9; changed: argument 8", lines[2])
    assert re.fullmatch("kprobe-exact +right x9", lines[3])
    # The column of what the tracer found is there only where that differs.
    assert sum("as found" in line for line in lines) == 1
    assert f"changed by {name} in stack-9: argument 8, byte 0-7" in lines
    last, plain = (line.split() for line in lines if line.startswith("8 long"))
    value, met = changed.passed[8].value.hex(), changed.passed[8].found.hex()
    assert last == ["8", "long", value, met, met, "right", f"[{met}]"]
    assert plain == ["8", "long", value, value, "right", value]


def test_cases_that_a_kernel_has_no_function_for(capsys: pytest.CaptureFixture[str]) -> None:
    made = dataclasses.replace(tracing(cell("kprobe", "stack-9")), lacking={"real-x": "none"})
    sentence = "The kernel has no such function, so they are not played: real-x; --json says why."
    assert f"debian:7.2: {sentence}" in shown([made], capsys)


def test_what_is_not_as_predicted_stands_out(capsys: pytest.CaptureFixture[str]) -> None:
    lines = shown([ODD], capsys)
    assert "≠ kprobe x stack-9 on debian:7.2" in lines
    assert "    argument 8 was read as another's, predicted zero" in lines
    assert "debian:7.2: fexit: No QEMU." in lines
    assert "debian:7.2: 1 cells were not played." in lines
    assert lines[-1].startswith("1 of 5 cells as predicted; 2 not as predicted;")
    many = tracing(*[WRONG] * 12, cell("fexit", "stack-9"))
    lines = shown([many], capsys)
    assert sum(line.startswith("≠ kprobe x") for line in lines) == tables.ROWS
    assert "and 2 more on debian:7.2 that are not as predicted; --all prints each" in lines
    assert sum(line.startswith("≠ kprobe x") for line in shown([many], capsys, True)) == 12
