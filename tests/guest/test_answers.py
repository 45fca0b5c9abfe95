# SPDX-License-Identifier: GPL-2.0-only
"""The answers of a fresh run, in one command, and those of a run that is not as predicted."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from harness.answers.claim import NO_RESULT, Source
from harness.commands import output
from harness.errors import Exit
from harness.report.formats import json_report
from tests import answers
from tests.guest.conftest import Broken

SECONDS = 60


def run(command: str, folder: Path, status: int = 0) -> str:
    """Run a shell command, and return what it prints."""
    done = subprocess.run(
        ["sh", "-c", command], cwd=folder, timeout=SECONDS, capture_output=True, text=True
    )
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout


def test_a_fresh_run_gives_the_answers_of_the_readme(full_run: dict[str, Any]) -> None:
    folder = Path(full_run["folder"])
    command = "jprobe-harness answers out.json --json answers.json --html a.html --markdown a.md"
    out = run(command, folder)
    found = json.loads((folder / "answers.json").read_text())
    verdicts = {claim["question"]: claim["verdict"] for claim in found["claims"]}
    for answer in answers.page(answers.stored()).answers:
        assert verdicts[answer.claim.question] == answer.verdict
        if answer.claim.file.source is Source.REVIEW and answer.verdict != NO_RESULT:
            assert answer.verdict in answers.README.read_text()
    release = full_run["summary"]["release"]
    for content in (out, (folder / "a.html").read_text(), (folder / "a.md").read_text()):
        assert release in content
        assert "Is THREAD" in content
    assert verdicts["Is 128 enough?"] == "does not hold"
    assert verdicts["Is THREAD_SIZE safe?"] == "holds only for the arguments"


def test_one_command_from_a_run_to_the_page(tmp_path: Path) -> None:
    played = "jprobe-harness repro --variant fixed-128 --case 'stack-*' --json -"
    out = run(f"{played} | jprobe-harness answers - --html answers.html", tmp_path)
    assert "no: does not hold" in out
    assert "8 bytes in stack-25" in out
    # Where too little was played, nothing is said.
    assert "no result yet" in out.partition("Is THREAD_SIZE safe?")[2].partition("\n")[0]
    assert "Is 128 enough?" in (tmp_path / "answers.html").read_text()


def test_a_policy_that_saves_less_than_it_should_is_not_hidden(
    broken: Broken, tmp_path: Path
) -> None:
    result = broken(
        "stack-policy/stack_policy.h",
        "return min(size, depth);",
        "return min(size - 1, depth);",
        cases=["overwrite-128"],
        variants=["fixed-128"],
    )
    file = tmp_path / "out.json"
    file.write_bytes(output.as_json(json_report.document(result)))
    out = run("jprobe-harness answers out.json", tmp_path, Exit.DIFFERS)
    assert "≠ 1 cells are not as predicted, and count as they were observed" in out
    assert "≠ no: does not hold" in out
