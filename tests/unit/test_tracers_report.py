# SPDX-License-Identifier: GPL-2.0-only
"""The cells of tracers in each of their forms, read back by the formats' own rules."""

from __future__ import annotations

import dataclasses
import json
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from pathlib import Path

import jsonschema
import pytest

import harness
from harness import cli
from harness.errors import Exit
from harness.report.tracers import documents, formats, html, tables, words
from harness.run import job
from harness.tracers.cell import Cell
from harness.tracers.reading import Read
from harness.tracing import run as tracing_run
from harness.tracing.run import Tracing
from tests.unit.test_html import NASTY, Elements, embedded
from tests.unit.test_printable import HOSTILE, check, decoded, poisoned
from tests.unit.test_reports import check_ktap
from tests.unit.traced import CASES, beside, cell, every, tracing

SCHEMA = json.loads((Path(harness.__file__).parent / "report/tracers/schema.json").read_text())
RIGHT = Read.RIGHT
CROSS = "\N{MULTIPLICATION SIGN}"
WRONG = cell("kprobe", "stack-9", reads=[*[RIGHT] * 8, Read.ANOTHER])
NEW = cell("kprobe", "stack-12", (9, 0))
DIED = cell("fexit", "stack-8", errors=("The kernel died:\nan oops.",))
ODD = dataclasses.replace(
    tracing(WRONG, NEW, DIED, cell("fexit", "stack-9"), planned=5),
    kernel_errors=("kprobe: WARNING at",),
    errors=("fexit: No QEMU.",),
)
ALL: list[Sequence[Tracing]] = [
    [every()],
    [every(), every("debian:6.12", (6, 12)), ODD],
    [tracing(planned=3)],
    [tracing(WRONG)],
    [tracing(NEW)],
]


def status(found: Sequence[Tracing]) -> Exit:
    return max(one.exit_status for one in found)


@pytest.mark.parametrize(
    ("made", "short", "sign"),
    [
        (cell("kprobe", "stack-9"), "right x8, zero x1", "0"),
        (cell("kprobe", "stack-8"), "right x8", "·"),
        (cell("func-args", "by-ref-24"), "right x1, an address x1, another's x1", "&?"),
        (
            cell("fexit", "struct-16-aligned"),
            "right x9, another's x2; changed: argument 10",
            "?!",
        ),
        (
            cell("fexit", "by-ref-24"),
            "refused: an aggregate of more than 16 bytes",
            "\N{MULTIPLICATION SIGN}",
        ),
        (cell("redirect", "variadic-registers"), "right x1; not called", "/"),
        (WRONG, "right x8, another's x1", "≠?"),
        (DIED, "not judged", "≠†"),
        (NEW, "right x8, zero x4", "0"),
    ],
)
def test_a_cell_in_a_few_words_and_in_a_sign(made: Cell, short: str, sign: str) -> None:
    assert words.in_short(made) == short
    assert words.sign(made) == sign


def test_each_sign_is_another_and_has_a_colour() -> None:
    signs = [sign for sign, _ in words.SIGNS.values()]
    assert len(set(signs)) == len(signs)
    style = (Path(harness.__file__).parent / "report/formats/page/style.css").read_text()
    assert all(f".k-{hue} " in style for _, hue in words.SIGNS.values())
    assert {read.value for read in Read} < set(words.SIGNS)


def test_what_there_is_of_a_tracer() -> None:
    cells = [cell("fexit", name) for name in ("stack-9", "struct-16-aligned", "by-ref-24")]
    assert words.tally(cells) == "3 of 3, 1 changed, 1 refused"
    old = [cell("fexit", name, (5, 10)) for name in ("stack-9", "by-ref-24")]
    assert words.tally(old) == "not before v6.4"
    old = [cell("fexit", name, (6, 12)) for name in ("stack-9", "by-ref-24")]
    assert words.tally(old) == "2 of 2, all refused"
    assert words.tally([NEW]) == "1 not predicted"
    assert words.tally([WRONG, DIED]) == "0 of 2, 1 not judged"
    assert words.summary([ODD]) == (
        "1 of 5 cells as predicted; 2 not as predicted; 1 not predicted; 1 not played."
    )


@pytest.mark.parametrize("made", ALL)
def test_json_is_as_the_schema_says(made: Sequence[Tracing]) -> None:
    check = jsonschema.Draft202012Validator(SCHEMA)
    document = json.loads(json.dumps(documents.document(made)))
    check.validate(document)
    for name in document["kernels"][0]:
        less = {key: one for key, one in document["kernels"][0].items() if key != name}
        assert not check.is_valid({**document, "kernels": [less]}), name


@pytest.mark.parametrize("made", ALL)
def test_junit_counts_itself(made: Sequence[Tracing]) -> None:
    top = ElementTree.fromstring(formats.as_junit(made))
    for suite in top:
        assert int(suite.attrib["tests"]) == len(suite.findall("testcase")) > 0
        for name, element in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
            assert int(suite.attrib[name]) == len(suite.findall(f"testcase/{element}"))
    cells = [cell for one in made for cell in one.cells]
    whole = len(top.findall("testsuite/testcase[@name='complete']/error"))
    assert len(top.findall("testsuite/testcase")) == len(cells) + whole
    red = bool(whole or top.findall("testsuite/testcase/failure"))
    assert red == (status(made) is not Exit.AGREES)


def test_junit_of_what_is_wrong() -> None:
    top = ElementTree.fromstring(formats.as_junit([ODD]))
    assert [suite.attrib["name"] for suite in top] == [
        "7.2.0-arm64 kprobe", "7.2.0-arm64 fexit", "7.2.0-arm64 run",
    ]  # fmt: skip
    wrong, new = top[0]
    failure, skipped = wrong.find("failure"), new.find("skipped")
    assert failure is not None
    assert failure.attrib["message"] == "argument 8 was read as another's, predicted zero"
    assert skipped is not None
    assert skipped.attrib["message"].startswith("not predicted: ")
    error = top[2][0].find("error")
    assert error is not None
    assert error.text is not None
    assert error.text.splitlines() == [
        "kprobe: WARNING at", "fexit: No QEMU.", "1 cells were not played.",
    ]  # fmt: skip


@pytest.mark.parametrize("made", ALL)
def test_ktap_is_well_formed(made: Sequence[Tracing]) -> None:
    lines = formats.as_ktap(made).splitlines()
    check_ktap(lines)
    failed = any(line.lstrip().startswith("not ok") for line in lines)
    assert failed == (status(made) is not Exit.AGREES)


def test_ktap_of_what_is_wrong() -> None:
    lines = formats.as_ktap([ODD, tracing(NEW)]).splitlines()
    assert "    # stack-9: argument 8 was read as another's, predicted zero" in lines
    assert "    not ok 1 stack-9 - right x8, another's x1" in lines
    skipped = f"# SKIP {words.UNPREDICTED}"
    assert f"    ok 2 stack-12 - right x8, zero x4 {skipped}" in lines
    # A tracer with other cells is not skipped, one without any is.
    assert "  not ok 1 kprobe" in lines
    assert f"  ok 1 kprobe {skipped}" in lines
    assert f"ok 2 debian:7.2 {skipped}" in lines
    assert "    # complete: fexit: No QEMU." in lines
    assert "not ok 1 debian:7.2" in lines


def test_html_has_every_cell_and_needs_nothing_else() -> None:
    made = [every(), every("debian:6.12", (6, 12))]
    text = html.document(made)
    found, data = Elements(text), embedded(text)
    assert all(link.startswith(("#", "data:")) for link in found.links), found.links
    assert len(found.ids) == len(set(found.ids))
    cells = [cell for one in made for cell in one.cells]
    assert (
        len(data["cells"]) == len(cells) == sum(link.startswith("#cell=") for link in found.links)
    )
    assert "#cell=debian%3A6.12%7Cfexit%7Cstack-12" in found.links
    detail = data["details"][data["cells"]["debian:7.2|fexit|struct-16-aligned"]]
    assert detail["status"] == "as predicted"
    (changed,) = [
        one for one in (data["arguments"][number] for number in detail["arguments"])
        if one["changed"]
    ]  # fmt: skip
    assert changed["changed"] == [[0, 8]]
    assert changed["arrived"] != changed["passed"]
    # What tracers read alike is there once.
    assert len(data["arguments"]) < sum(len(cell.passed) for cell in cells) / 3
    # The sign is there besides the colour.
    assert re.search(r'class="k-leak" href="[^"]*func-args%7Cby-ref-24"[^>]*>&amp;\?</a>', text)
    assert 'class="sentence good"' in text


def test_html_of_what_is_wrong() -> None:
    text = html.document([ODD])
    assert 'class="sentence bad"' in text
    assert "kprobe x stack-9: argument 8 was read as another&#39;s, predicted zero" in text
    assert "fexit: No QEMU." in text
    assert re.search(r'class="k-leak marked" [^>]*>≠\?</a>', text)
    assert 'class="sentence odd"' in html.document([tracing(NEW)])


def test_nothing_of_it_is_markup() -> None:
    case = dataclasses.replace(CASES["stack-9"], name=NASTY)
    made = dataclasses.replace(
        tracing(cell("kprobe", case, reads=[RIGHT] * 9), spec=f"x:{NASTY}"), errors=(NASTY,)
    )
    text = html.document([made])
    assert NASTY not in text
    assert "img" not in Elements(text).names
    assert Elements(text).names.count("script") == 2


def hostile() -> list[Tracing]:
    """Return cells in which each text from outside has something bad in it."""
    case = dataclasses.replace(CASES["stack-9"], name=f"stack-9{HOSTILE}")
    refused = cell("fexit", "by-ref-24")
    refused = dataclasses.replace(refused, seen=poisoned(refused.seen))
    died = cell("fexit", case, errors=(poisoned("The kernel died"),))
    made = tracing(cell("kprobe", case, reads=[RIGHT] * 9), refused, died, cell("kprobe", case))
    return [
        dataclasses.replace(
            made,
            spec=poisoned(made.spec),
            release=poisoned(made.release),
            kernel_errors=(poisoned("WARNING"),),
            errors=(poisoned("a tool"),),
        )
    ]


def test_nothing_of_it_acts_on_what_shows_it(capsys: pytest.CaptureFixture[str]) -> None:
    made = hostile()
    found = [("junit", formats.as_junit(made)), ("ktap", formats.as_ktap(made))]
    found.append(("html", html.document(made)))
    tables.show(made)
    found.append(("terminal", capsys.readouterr().out))
    for name, text in found:
        check(text)
        for part in decoded(name, text):
            check(part)
        assert "\\u202e" in text, name
    named = dataclasses.replace(CASES["stack-9"], name="x # SKIP y\nok 1 all")
    text = formats.as_ktap([tracing(cell("kprobe", named), spec="a:b # SKIP c")])
    assert not re.search(r"^\s*(not )?ok \d+.*#|^ok 1 all", text, re.MULTILINE)


def test_a_jprobe_beside_a_tracer() -> None:
    made = [tracing(beside(), cell("kprobe-exact", "stack-9"))]
    name = "kprobe-exact beside none"
    assert [test.attrib["classname"] for test in ElementTree.fromstring(
        formats.as_junit(made)).iter("testcase")] == [
        f"7.2.0-arm64.{name}", "7.2.0-arm64.kprobe-exact",
    ]  # fmt: skip
    assert f"  ok 1 {name}" in formats.as_ktap(made).splitlines()
    data = embedded(html.document(made))
    assert set(data["cells"]) == {
        f"debian:7.2|{name}|stack-9", "debian:7.2|kprobe-exact|stack-9",
    }  # fmt: skip


def test_cases_that_a_kernel_has_no_function_for() -> None:
    made = dataclasses.replace(tracing(cell("kprobe", "stack-9")), lacking={"real-x": "none"})
    assert "they are not played: real-x; --json says why." in html.document([made])


def test_all_forms_of_one_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(job, "prepare", lambda *words, **options: (None, None))
    monkeypatch.setattr(tracing_run, "check", lambda kernels, cases: None)
    monkeypatch.setattr(tracing_run, "run", lambda *words, **options: ODD)
    files = {name: tmp_path / f"out.{name}" for name in ("json", "junit", "ktap", "html")}
    asked = [word for name, file in files.items() for word in (f"--{name}", str(file))]
    assert cli.main(["tracers", "--kernel", "debian:7.2", *asked]) == Exit.DIFFERS
    assert "1 of 5 cells as predicted" in capsys.readouterr().out
    jsonschema.validate(json.loads(files["json"].read_text()), SCHEMA)
    assert ElementTree.parse(files["junit"]).getroot().tag == "testsuites"
    assert files["ktap"].read_text().startswith("KTAP version 1\n")
    assert "debian:7.2|kprobe|stack-9" in embedded(files["html"].read_text())["cells"]
    # On standard output a form stands alone.
    assert cli.main(["tracers", "--kernel", "debian:7.2", "--ktap", "-"]) == Exit.DIFFERS
    assert capsys.readouterr().out == files["ktap"].read_text()
