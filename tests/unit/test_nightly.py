# SPDX-License-Identifier: GPL-2.0-only
"""The commands that play a nightly run and ask what is remembered."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.cli import main
from harness.commands import nightly_outputs
from harness.errors import Exit
from harness.nightly import night
from harness.nightly.unit import UnitKind
from harness.tracers.reading import Read
from tests.unit.nights import MATRIX, Works, cell, done, traced, tracing, written
from tests.unit.test_reports import check_ktap


def test_the_command_accepts_and_reports(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Works(monkeypatch)
    file, url = str(written(tmp_path, MATRIX)), f"sqlite:///{tmp_path}/h.sqlite"
    assert main(["nightly", file, "--store", url, "--accept", "x"]) == Exit.USAGE
    assert "No nightly run over this matrix" in capsys.readouterr().err
    assert main(["nightly", file, "--store", url, "--json", "-"]) == Exit.AGREES
    assert json.loads(capsys.readouterr().out)["regressions"] == []
    assert main(["nightly", file, "--store", url, "--accept", " "]) == Exit.USAGE
    assert main(["nightly", file, "--store", url, "--accept", "all good"]) == Exit.AGREES
    monkeypatch.setattr(night, "work", lambda unit: done(cell(size=16)))
    assert main(["nightly", file, "--store", url]) == Exit.DIFFERS
    out = capsys.readouterr().out
    assert "debian:6.1, none x stack-9: leak 8 -> leak 16" in out
    assert "1 regression against nightly run 1, accepted by" in out
    assert main(["nightly", file, "--store", url, "--resume"]) == Exit.USAGE

    def asked(*words: str) -> list[dict[str, str]]:
        capsys.readouterr()
        assert main(["history", *words, "--store", url, "--json", "-"]) == 0
        rows: list[dict[str, str]] = json.loads(capsys.readouterr().out)["rows"]
        return rows

    assert [row["night"] for row in asked("nights")] == ["2", "1"]
    assert [row["why"] for row in asked("baselines")] == ["all good"]
    assert [row["since night"] for row in asked("cells", "--case", "stack-*")] == ["1", "2"]
    assert [row["was"] for row in asked("flapping")] == ["leak 8 -> leak 16"]
    assert asked("flapping", "--case", "other") == []
    assert [row["seconds"] for row in asked("time")] == ["1.0", "1.0"]


def test_the_history_of_a_tracer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = MATRIX + "tracers: [fexit]\n"
    file, url = str(written(tmp_path, text)), f"sqlite:///{tmp_path}/h.sqlite"
    for reads in (Read.ZERO, Read.ABSENT):
        units = {
            UnitKind.CELLS: done(cell()),
            UnitKind.TRACERS: tracing(traced(reads=[reads])),
        }
        monkeypatch.setattr(night, "work", lambda unit, units=units: units[unit.kind])
        assert main(["nightly", file, "--store", url]) == Exit.AGREES

    def asked(*words: str) -> list[dict[str, str]]:
        capsys.readouterr()
        assert main(["history", *words, "--store", url, "--json", "-"]) == 0
        rows: list[dict[str, str]] = json.loads(capsys.readouterr().out)["rows"]
        return rows

    found = asked("cells", "--tracer", "f*")
    assert [(row["tracer"], row["case"], row["since night"], row["is"]) for row in found] == [
        ("fexit", "stack-9", "1", "1 zero"), ("fexit", "stack-9", "2", "1 absent"),
    ]  # fmt: skip
    assert [row["was"] for row in asked("flapping", "--tracer", "*")] == ["1 zero -> 1 absent"]
    assert asked("cells", "--tracer", "kprobe") == []
    assert [row["variant"] for row in asked("cells")] == ["none"]
    assert asked("flapping") == []


def test_the_command_writes_all_forms(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Works(monkeypatch)
    file, url = str(written(tmp_path, MATRIX)), f"sqlite:///{tmp_path}/h.sqlite"
    forms = [one.name for one in nightly_outputs.OUTPUTS]
    words = [word for form in forms for word in (f"--{form}", str(tmp_path / form))]
    assert main(["nightly", file, "--store", url, *words]) == Exit.AGREES
    assert "No regression" in capsys.readouterr().out
    sizes = {form: (tmp_path / form).stat().st_size for form in forms}
    assert all(size for form, size in sizes.items() if form != "annotations"), sizes
    # A form that goes to standard output has it to itself.
    assert main(["nightly", file, "--store", url, "--ktap", "-"]) == Exit.AGREES
    check_ktap(capsys.readouterr().out.splitlines())
    no = str(tmp_path / "no/such")
    assert main(["nightly", file, "--store", url, "--mail", no]) == Exit.USAGE


def test_the_user_is_notified(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Works(monkeypatch)
    file, url = str(written(tmp_path, MATRIX)), f"sqlite:///{tmp_path}/h.sqlite"
    heard = tmp_path / "heard"
    words = ["nightly", file, "--store", url, "--notify", f"(echo $NIGHT_STATUS; cat) >{heard}"]
    assert main(words) == Exit.AGREES
    assert not heard.exists()
    monkeypatch.setattr(night, "work", lambda unit: done(cell(agrees=False, reasons=["x"])))
    assert main(words) == Exit.DIFFERS
    assert heard.read_text().startswith(
        "1\nSubject: [jprobe-harness] 1 regression in nightly run 2\n"
    )
    assert main([*words[:-1], "exit 7"]) == Exit.INFRASTRUCTURE
    assert "ended with status 7; the nightly run's is 1" in capsys.readouterr().err


def test_what_cannot_be_written_keeps_nothing_else_from_being_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Works(monkeypatch)
    file, url = str(written(tmp_path, MATRIX)), f"sqlite:///{tmp_path}/h.sqlite"
    heard, mail = tmp_path / "heard", tmp_path / "mail"
    words = ["nightly", file, "--store", url, "--notify", f"(echo $NIGHT_STATUS; cat) >{heard}"]
    outputs = ["--html", "/dev/full", "--mail", str(mail)]
    assert main([*words, *outputs]) == Exit.INFRASTRUCTURE
    assert "/dev/full cannot be written: No space left" in capsys.readouterr().err
    subject = "Subject: [jprobe-harness] no regression in nightly run 1\n"
    assert mail.read_text().startswith(subject)
    # The nightly run is as it should be, but not all that was to be made of it.
    assert heard.read_text().startswith(
        "3\nSubject: [jprobe-harness] no regression in nightly run 1\n"
    )
    assert "/dev/full cannot be written" in heard.read_text()
    # Such outputs are refused before the run begins, and --notify is not run.
    heard.unlink()
    assert main([*words, "--html", str(tmp_path / "no/such")]) == Exit.USAGE
    assert main([*words, "--html", "-", "--mail", "-"]) == Exit.USAGE
    assert not heard.exists()


def test_a_night_that_does_not_come_to_its_end_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def spend(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(night, "spend", spend)
    file, url = str(written(tmp_path, MATRIX)), f"sqlite:///{tmp_path}/h.sqlite"
    heard = tmp_path / "heard"
    words = ["nightly", file, "--store", url, "--notify", f"(echo $NIGHT_STATUS; cat) >{heard}"]
    assert main(words) == Exit.INFRASTRUCTURE
    assert heard.read_text().startswith(
        "3\nSubject: [jprobe-harness] a nightly run over night failed\n"
    )
    assert "No space left" in heard.read_text()
    assert main([*words[:-1], "exit 7"]) == Exit.INFRASTRUCTURE
    error = capsys.readouterr().err
    assert "No space left" in error
    assert "ended with status 7; the nightly run's is 3" in error


def test_an_origin_that_kcidb_would_not_take(tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["report", "--origin", "My CI"])
    assert caught.value.code == Exit.USAGE
