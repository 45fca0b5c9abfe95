# SPDX-License-Identifier: GPL-2.0-only
"""The page of answers in each of its forms, and the README's table of it."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import harness.answers
from harness import cli
from harness.answers import as_json, claim, html, text
from harness.answers.answer import answered
from harness.answers.claim import NO_RESULT
from harness.answers.evidence import Evidence
from harness.answers.page import Page
from harness.commands import output
from harness.errors import ConfigError, Exit
from harness.nightly import matrix
from harness.nightly.store import Store
from tests import answers
from tests.unit.claims import cell, run
from tests.unit.nights import MATRIX, done, written
from tests.unit.nights import cell as night_cell
from tests.unit.test_answers import CLAIMS, KNOWN
from tests.unit.test_html import NASTY, Elements
from tests.unit.test_printable import HOSTILE, check
from tests.unit.test_terminal import COLOUR, on_terminal

SCHEMA = json.loads((Path(harness.answers.__file__).parent / "schema.json").read_text())
QUESTIONS = ("Is 128 enough?", "Is THREAD_SIZE safe?")
# The first screen of a terminal.
LINES, COLUMNS = 24, 80


def page(evidence: Evidence | None = None) -> Page:
    found = evidence or answers.page(answers.stored()).evidence
    return Page(answered(list(CLAIMS.values()), found, KNOWN), found)


def hostile(word: str = NASTY) -> Page:
    """Return a page whose results have something bad in each of their words."""
    of = run(word, Exit.DIFFERS, where=word, kernel=word, compiler=word, errors=(word,))
    of = dataclasses.replace(of, when=word, planned=3, played=1)
    cells = (
        cell("fixed-128", word, of=of, agrees=False, leak=1),
        cell("fixed-128", "stack-25", of=of, agrees=False, leak=9),
    )
    return page(Evidence((of,), cells, unjudged=(word,)))


def test_the_readme_has_the_answers_of_the_result_that_is_kept() -> None:
    old, stored = answers.README.read_text(), answers.stored()
    assert answers.readme(old, stored) == old, "run: python -m tests.answers"
    # A cell that is other than it was turns it red.
    for verdict in stored["verdicts"]:
        if (verdict["variant"], verdict["case"]) == ("fixed-128", "overwrite-129"):
            verdict["damage"] = {}
    assert answers.readme(old, stored) != old


def test_the_result_that_is_kept_answers_both_questions() -> None:
    made = page()
    by_name = {answer.claim.name: answer for answer in made.answers}
    assert by_name["enough-128"].verdict == "does not hold"
    assert by_name["thread-size-safe"].verdict == "holds only for the arguments"
    assert made.exit_status == Exit.AGREES
    assert not list(made.warnings)
    assert answers.kept(answers.stored()) == answers.KEPT.read_text()


def shown(words: list[str], capsys: pytest.CaptureFixture[str], status: int = 0) -> str:
    assert cli.main(["answers", *words]) == status
    return capsys.readouterr().out


@pytest.mark.parametrize("columns", [COLUMNS, 200])
def test_the_first_lines_of_a_terminal_answer_both(columns: int) -> None:
    printed = COLOUR.sub("", on_terminal(["answers", str(answers.KEPT)], columns))
    lines = printed.splitlines()
    assert max(map(len, lines)) <= columns
    first = " ".join(" ".join(lines[:LINES]).split())
    said = {question: words for question, *words in page().short}
    for question in QUESTIONS:
        # Where the table has columns, a cell's words are not next to each other.
        words = [question, *said[question]]
        assert not {part for text in words for part in text.split() if part not in first}


def test_the_whole_page_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    out = shown([str(answers.KEPT)], capsys)
    for one in CLAIMS.values():
        assert out.count(one.question) == 2
        assert one.file.claim in out
        assert one.file.command in out
    assert "6.1.0-56-cloud-arm64" in out
    assert "gcc 12.2.0" in out


def test_html_needs_nothing_else() -> None:
    found = Elements(html.document(page()))
    assert all(link.startswith(("#", "data:")) for link in found.links), found.links
    assert len(found.ids) == len(set(found.ids))
    assert {link[1:] for link in found.links if link.startswith("#")} <= set(found.ids)
    assert "script" not in found.names


def test_nothing_of_a_result_is_markup() -> None:
    document = html.document(hostile())
    assert NASTY not in document
    assert "img" not in Elements(document).names
    lines = text.markdown(hostile()).splitlines()
    assert not any(NASTY in line for line in lines)
    # Each row of the table has its three cells, whatever the words are.
    rows = [line for line in lines if line.startswith("| Is 128 enough?")]
    assert [len(row.replace("\\|", "").split("|")) for row in rows] == [5]


def test_what_is_wrong_with_a_result_is_said_first(capsys: pytest.CaptureFixture[str]) -> None:
    made = hostile()
    for form in (text.markdown(made), html.document(made)):
        assert form.index("not as predicted, and count as they were") < form.index("In practice")
        assert "2 of 3 plays are missing" in form
    text.show(made)
    out = capsys.readouterr().out
    assert "≠ no: does not hold" in out
    assert out.index("not as predicted, and count") < out.index("In practice")


def test_nothing_of_a_result_acts_on_what_shows_it(capsys: pytest.CaptureFixture[str]) -> None:
    made = hostile(HOSTILE)
    text.show(made)
    shown = capsys.readouterr().out
    as_data = output.as_json(as_json.document(made)).decode()
    for form in (shown, text.markdown(made), html.document(made), as_data):
        check(form)
        assert "\\u202e" in form


@pytest.mark.parametrize("made", [page(), page(Evidence()), hostile()], ids=["all", "none", "odd"])
def test_json(made: Page) -> None:
    check = jsonschema.Draft202012Validator(SCHEMA)
    document: dict[str, Any] = json.loads(output.as_json(as_json.document(made)))
    check.validate(document)
    assert [one["name"] for one in document["claims"]] == list(CLAIMS)
    for name in document:
        assert not check.is_valid({key: one for key, one in document.items() if key != name})
    first = document["claims"][0]
    assert not check.is_valid({**document, "claims": [{**first, "verdict": "maybe"}]})
    assert not check.is_valid({**document, "claims": [{**first, "more": 1}]})


def test_all_forms_of_one_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = {name: tmp_path / f"answers.{name}" for name in ("json", "markdown", "html")}
    words = [word for name, file in files.items() for word in (f"--{name}", str(file))]
    shown([str(answers.KEPT), *words], capsys)
    document = json.loads(files["json"].read_text())
    for name in ("markdown", "html"):
        content = files[name].read_text().replace("\\_", "_")
        for one in document["claims"]:
            assert one["question"] in content
            assert one["verdict"] in content or one["verdict"] == NO_RESULT


def test_a_result_that_differs_is_not_hidden_by_the_status(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document = answers.stored()
    document["verdicts"][0]["agrees"] = False
    document["summary"] |= {"differ": 1, "exit_status": int(Exit.DIFFERS)}
    file = tmp_path / "out.json"
    file.write_text(json.dumps(document))
    assert "≠ 1 cells are not as predicted" in shown([str(file)], capsys, Exit.DIFFERS)


def test_without_a_file_the_newest_nightly_run_counts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"sqlite:///{tmp_path}/history.sqlite"
    assert "There is no result yet" in shown(["--store", url], capsys)
    with Store(url) as store:
        wanted = matrix.load(written(tmp_path, MATRIX))
        store.add(store.begin(wanted), done(night_cell("stack-25", "fixed-128")))
    out = shown(["--store", url], capsys)
    assert "nightly run 1" in out
    assert "no: does not hold" in out
    # Beside a file the store counts only if it is named.
    assert "nightly run 1" in shown([str(answers.KEPT), "--store", url], capsys)
    assert "nightly run 1" not in shown([str(answers.KEPT)], capsys)


def test_a_result_is_not_written_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "out.json"
    file.write_text(answers.KEPT.read_text())
    assert cli.main(["answers", str(file), "--json", str(file)]) == Exit.USAGE
    assert "would be written over" in capsys.readouterr().err
    assert file.read_text() == answers.KEPT.read_text()


CLAIM = """
rank: 1
source: review
question: Is it?
claim: It is.
unmeasured: Nobody knows.
measures: {m: {counts: it, cells: {variants: [none], classes: [leak]}}}
outcomes: [{when: {m: none}, verdict: holds, answer: "yes", says: So it is.}]
"""


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("verdict: holds,", "verdict: maybe,", "outcomes[0].verdict: give 'holds'"),
        ("when: {m: none}", "when: {n: none}", "outcomes[0].when: there is no measure 'n'"),
        ("claim: It is.", "claim: It is.\nshort: [n]", "short: there is no measure 'n'"),
        ("cells:", "storm: {variants: [v15]}, cells:", "measures.m: give one of cells,"),
        ("cells: {variants: [none], classes: [leak]}", "command: x", "measures.m: give one of"),
        ("cells: {variants: [none], classes: [leak]}", "cost: {variants: [none]}",
         "'m' is a cost, which decides nothing"),
        ("outcomes: [{when: {m: none}, verdict: holds, answer: \"yes\", says: So it is.}]", "",
         "outcomes: a claim has measures and outcomes, or neither"),
        ("source: review", "source: hearsay", "source: give 'review' or 'document'"),
        ("[leak]", "[leek]", "measures.m.cells.classes[0]: give 'leak'"),
        ("question: Is it?", "", "'question' is missing"),
    ],
)  # fmt: skip
def test_a_claim_that_cannot_be_read(tmp_path: Path, old: str, new: str, sentence: str) -> None:
    file = tmp_path / "made-up.yaml"
    file.write_text(CLAIM)
    (one,) = claim.load([tmp_path])
    assert (one.name, one.question) == ("made-up", "Is it?")
    assert CLAIM.count(old) == 1
    file.write_text(CLAIM.replace(old, new))
    with pytest.raises(ConfigError) as caught:
        claim.load([tmp_path])
    assert sentence in caught.value.sentence
    assert str(file) in caught.value.sentence


def test_ranks_are_all_different() -> None:
    ranks = [one.file.rank for one in CLAIMS.values()]
    assert ranks == list(range(1, len(CLAIMS) + 1))
    assert [one.question for one in CLAIMS.values()][:2] == list(QUESTIONS)
