# SPDX-License-Identifier: GPL-2.0-only
"""The command on terminals of all kinds, and without one."""

from __future__ import annotations

import colorsys
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pexpect
import pytest
from rich.cells import cell_len
from rich.text import Span

import harness
from harness.model.predict import Damage
from harness.report import summaries, terminal
from harness.report.terminal import lines
from tests.unit.tables import BEGIN, END, NEXT
from tests.unit.test_reports import result

SECONDS = 60
COMMANDS = (
    ["predict", "--case", "stack-17", "--case", "by-ref-24"],
    ["--help"],
)
CLASS = re.compile("|".join(damage.value for damage in Damage))
COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def on_terminal(words: list[str], columns: int, **environment: str) -> str:
    """What a command writes to a terminal of that width."""
    child = pexpect.spawn(
        "jprobe-harness", words, encoding="utf-8", timeout=SECONDS, dimensions=(40, columns),
        env={**os.environ, "TERM": "xterm-256color", **environment},
    )  # fmt: skip
    text: str = child.read()
    child.wait()
    assert child.exitstatus == 0, text
    return text


@pytest.mark.parametrize("columns", [40, 80, 200])
@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_no_line_is_wider_than_the_terminal(words: list[str], columns: int) -> None:
    text = COLOUR.sub("", on_terminal(words, columns, COLUMNS=str(columns)))
    assert max(len(line) for line in text.splitlines()) <= columns


Cells = dict[str, str]
# The text, and of each table what it holds and its lines.
Shown = tuple[str, list[tuple[dict[str, Any], str]]]
WIDTHS = (40, 60, 80, 120, 200)


def shown(text: str, folder: Path) -> list[Shown]:
    """What tests/unit/tables.py printed, by view."""
    views = text.split(f"{NEXT}\n")[1:]
    blocks = [
        re.findall(rf"^{BEGIN}\n(.*?)^{END}\n", view, re.DOTALL | re.MULTILINE) for view in views
    ]
    tables = json.loads((folder / "tables.json").read_text())
    return [(view, list(zip(*both, strict=True))) for view, *both in zip(views, tables, blocks)]


@pytest.fixture(scope="module")
def on_terminals(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Shown]:
    """All tables on a terminal of each width."""
    folder = tmp_path_factory.mktemp("tables")
    child = pexpect.spawn(
        sys.executable, ["-m", "tests.unit.tables", str(folder), *map(str, WIDTHS)],
        encoding="utf-8", timeout=SECONDS,
        env={k: v for k, v in os.environ.items() if k != "COLUMNS"} | {"TERM": "xterm-256color"},
    )  # fmt: skip
    text = COLOUR.sub("", child.read()).replace("\r", "")
    child.wait()
    assert child.exitstatus == 0, text
    return dict(zip(WIDTHS, shown(text, folder), strict=True))


def in_columns(lines: list[str], header: list[str]) -> list[list[str]]:
    """The rows of a table as a reader sees them: by where its header's words begin."""
    starts = [match.start() for match in re.finditer(r"(?<=  )\S|^\S", lines[0])]
    assert len(starts) == sum(map(bool, header)), lines[0]
    rows: list[list[str]] = []
    for line in lines:
        cells = [line[a:b].strip() for a, b in zip(starts, [*starts[1:], None])]
        # Nothing stands between two columns.
        assert all(line[start - 2 : start].isspace() for start in starts[1:] if start < len(line))
        if not line[0].isspace():
            rows.append(cells)
            continue
        for index, cell in enumerate(cells):
            rows[-1][index] += ("" if rows[-1][index].endswith("-") else " ") + cell
    return rows


def in_paragraphs(lines: list[str], header: list[str]) -> list[Cells]:
    """The same of rows that became paragraphs."""
    rows: list[list[str]] = []
    for line in lines:
        depth = len(line) - len(line.lstrip())
        if depth == 0:
            rows.append([line])
        elif depth == 2:
            rows[-1].append(line.strip())
        else:
            rows[-1][-1] += " " + line.strip()
    found = []
    for first, *fields in rows:
        cells = {header[0]: first}
        for field in fields:
            label = re.match(r"((?:NAME, )*NAME): ".replace("NAME", names_of(header[1:])), field)
            for name in label[1].split(", ") if label else [""]:
                cells[name] = field[label.end() :] if label else field
        found.append(cells)
    return found


def names_of(header: list[str]) -> str:
    return f"(?:{'|'.join(re.escape(name) for name in header if name) or 'no name'})"


def squeezed(text: str) -> str:
    """Without blanks: a path may be broken anywhere."""
    return re.sub(r"\s", "", text)


@pytest.mark.parametrize("columns", WIDTHS)
def test_every_cell_is_found_in_its_row_and_column(
    on_terminals: dict[int, Shown], columns: int
) -> None:
    _, tables = on_terminals[columns]
    assert len(tables) > 20
    for table, block in tables:
        header, rows, lines = table["header"], table["rows"], block.splitlines()
        assert max(map(cell_len, lines), default=0) <= columns
        if not all(header[:-1]):
            # A hexdump, or what a run was: two columns without a header.
            assert squeezed("".join(map("".join, rows))) in squeezed(block) or columns < 80
            continue
        if lines[0].startswith(header[0][:4]):
            if not header[-1]:
                # Nothing says where a column without a name begins.
                header = header[:-1]
                rows = [(*row[:-2], "".join(row[-2:])) for row in rows]
            first, *read = in_columns(lines, header)
            assert list(map(squeezed, first)) == [squeezed(name) for name in header if name]
            found = [dict(zip(header, row)) for row in read]
        else:
            found = in_paragraphs(lines, header)
        expected = [dict(zip(header, row)) for row in rows]
        assert len(found) == len(expected)
        for seen, row in zip(found, expected):
            for name, cell in row.items():
                assert squeezed(seen.get(name, "")) == squeezed(cell), (name, seen)
                # Of corruption, each word and number stands there as such.
                words = re.findall(r"[a-z-]+|\d+", cell) if CLASS.search(cell) else []
                assert set(words) <= set(re.findall(r"[a-z-]+|\d+", seen.get(name, "")))


@pytest.mark.parametrize("columns", WIDTHS)
def test_what_differs_is_reported_at_every_width(
    on_terminals: dict[int, Shown], columns: int
) -> None:
    text, tables = on_terminals[columns]
    table, block = tables[0]
    cells = [cell for row in table["rows"] for cell in row if cell.startswith("\N{NOT EQUAL TO}")]
    # Equal ones of a case may stand together, for the variants that they are of.
    assert len(cells) >= block.count("\N{NOT EQUAL TO}") > 30
    assert re.search(r"v15 x \S+,\s+and \d+ more\s+like it", text)


def test_colour_only_where_it_is_wanted() -> None:
    assert COLOUR.search(on_terminal(["list", "variants"], 80))
    plain = on_terminal(["list", "variants"], 80, NO_COLOR="1")
    # Bold is no colour (no-color.org).
    assert not re.search(r"\x1b\[[0-9;]*3[0-7]", plain)
    piped = subprocess.run(
        ["jprobe-harness", "list", "variants"], capture_output=True, text=True, timeout=SECONDS
    )
    assert "\x1b" not in piped.stdout + piped.stderr


def test_in_a_pipe_each_row_is_a_line(tmp_path: Path) -> None:
    views = ("LANG=C", "COLUMNS=20", "FORCE_COLOR=1")
    piped = subprocess.run(
        [sys.executable, "-m", "tests.unit.tables", tmp_path, *views], capture_output=True,
        text=True, timeout=SECONDS,
    )  # fmt: skip
    assert piped.returncode == 0, piped.stderr
    printed = shown(COLOUR.sub("", piped.stdout), tmp_path)
    assert len(printed) == len(views)
    for text, tables in printed:
        assert not re.search(r"[ \t]$", text, re.MULTILINE)
        for table, block in tables:
            rows = [table["header"], *table["rows"]] if any(table["header"]) else table["rows"]
            found = [line.split() for line in block.splitlines()]
            assert found == [" ".join(row).split() for row in rows]
            # No column is as wide as its longest text.
            assert " " * 34 not in block
        # Nor are sentences folded.
        assert re.search(r"^\S*\d+ of \d+ verdicts as predicted.*\.\S*$", text, re.MULTILINE)


@pytest.mark.parametrize("columns", ["30", "200"])
def test_a_cell_of_several_lines_is_one(
    columns: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    terminal.print_rows("cases", ("name", "shows"), [("mine", "one line\nand\tanother")])
    assert capsys.readouterr().out.splitlines()[-1] == "mine  one line and another"


def test_colours_are_the_hues_of_a_nights_page() -> None:
    page = (Path(harness.__file__).parent / "report/formats/page/style.css").read_text()
    names = dict(re.findall(r"--([a-z-]+): #([0-9a-f]{6})", page.partition("@media")[0]))
    hues = {"red": 0, "yellow": 60, "green": 120, "cyan": 180, "blue": 240, "magenta": 300}
    styles = {damage.value: style for damage, style in terminal.CLASSES.items()}
    for name, style in {"intact": terminal.INTACT, **styles}.items():
        red, green, blue = (int(names[name][i : i + 2], 16) / 255 for i in (0, 2, 4))
        hue, saturation, _ = colorsys.rgb_to_hsv(red, green, blue)
        if style == "dim":
            assert saturation < 0.05
        else:
            hue *= 360
            distance = {n: min(abs(hue - h), 360 - abs(hue - h)) for n, h in hues.items()}
            assert min(distance, key=distance.__getitem__) == style.removeprefix("bright_")


def test_what_differs_stands_out_from_corruption_that_was_predicted() -> None:
    made = {summaries.cell(outcome): terminal.cell(outcome) for outcome in result().outcomes}
    leak = made["leak 8"]
    assert [(span.style, leak.plain[span.start : span.end]) for span in leak.spans] == [
        ("yellow", "leak 8")
    ]
    wrong = terminal.cell(result(broken=True).outcomes[0])
    assert str(wrong.style) == terminal.DIFFERS
    assert "reverse" in terminal.DIFFERS
    assert wrong.plain.startswith("\N{NOT EQUAL TO}")
    assert terminal.classes("none, leaky: by-ref+overflow 1,024").spans == [
        Span(13, 19, "bright_blue"), Span(20, 34, "red"),
    ]  # fmt: skip


@pytest.mark.parametrize("columns", [50, 80, 132])
def test_a_hexdump_fits(columns: int) -> None:
    for outcome in result().outcomes:
        text = lines(outcome, columns, colour=False)
        assert text
        assert max(map(len, text)) <= columns
        assert "\N{HORIZONTAL ELLIPSIS}" not in "".join(text)
