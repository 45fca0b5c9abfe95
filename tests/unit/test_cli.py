# SPDX-License-Identifier: GPL-2.0-only
"""The command line, as far as it needs no guest."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness import cli
from harness.cli import main
from harness.commands import nightly, repro
from harness.errors import Exit
from harness.host import doctor


@pytest.mark.parametrize("command", ["repro", "predict", "list", "doctor", "bench"])
def test_help_has_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main([command, "--help"])
    assert caught.value.code == 0
    assert "example: jprobe-harness" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["repro", "--case", "stak-9"], "There is no case 'stak-9'. The nearest: stack-9"),
        (["repro", "--variant", "fxed-64"], "There is no variant 'fxed-64'. The nearest: fixed-64"),
        (
            ["repro", "--kernel", "debian:6.2"],
            "There is no kernel 'debian:6.2'. The nearest: debian:6.1",
        ),
        (["repro", "--json", "/nowhere/at/all.json"], "there is no such directory"),
        (["predict", "--case-dir", "/no/such"], "/no/such: no such directory"),
        (["bench", "--runs", "0"], "--runs: give at least 1"),
        (["log", "lst"], "There is no run 'lst'. The nearest: last."),
        (["runs", "--keep", "lats"], "There is no run 'lats'. The nearest: last."),
        (["nightly", "no.yaml"], "no.yaml: cannot be read"),
        (["repro", "--modules-build", "no/dir"], "there is no directory no/dir"),
        (["fuzz", "--out", "no/dir"], "to no/dir: there is no such directory"),
    ],
)
def test_bad_input_is_one_sentence_and_status_2(
    arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == Exit.USAGE
    error = capsys.readouterr().err
    assert sentence in error
    assert "Traceback" not in error


@pytest.mark.parametrize("arguments", [[], ["repo"], ["repro", "--deadline", "0"], ["list", "x"]])
def test_usage_is_status_2(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == Exit.USAGE


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["repo"], "jprobe-harness: there is no command 'repo'. The nearest: repro,"),
        (["--hlp"], "there is no option '--hlp'. The nearest: --help."),
        (["repro", "--varient", "none"], "there is no option '--varient'. The nearest: --variant,"),
        (["repro", "--varient=none"], "there is no option '--varient'. The nearest: --variant,"),
        # The missing argument is not what is wrong there.
        (["nightly", "--resme"], "nightly: there is no option '--resme'. The nearest: --resume,"),
        (["list", "--jsn", "-"], "list: there is no option '--jsn'. The nearest: --json,"),
        (["list", "kases"], "argument what: there is no choice 'kases'. The nearest: cases,"),
        (["list", "xyz"], "no choice 'xyz'. Choose from: kernels, variants, cases, tracers."),
        (["list", "cases", "stack-9"], "list: there is no place for 'stack-9'."),
        (["completion", "bsh"], "argument shell: there is no choice 'bsh'. The nearest: bash,"),
        (["history", "nigths"], "there is no choice 'nigths'. The nearest: nights."),
        (["repro", "--dump", "pnic"], "--dump: there is no choice 'pnic'. The nearest: panic."),
        (["storm", "--cpus", "9"], "there is no choice '9'. Choose from: 2, 3, 4, 5, 6, 7, 8."),
        (["storm", "--seconds", "x"], "--seconds: 'x': give a number from 0.001 to 86400."),
        (["nightly", "--jobs", "0", "x"], "--jobs: '0': give a number from 1 to 10000000."),
    ],
)  # fmt: skip
def test_a_misspelt_word_gets_the_nearest_one(
    arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == Exit.USAGE
    first, second = capsys.readouterr().err.splitlines()
    assert sentence in first
    assert not first.endswith("..")
    assert second.startswith("  See: jprobe-harness ")


@pytest.mark.parametrize(
    "words", [["--vers"], ["list", "--js", "-", "kernels"], ["ssh", "--hel", "--", "--no-such"]]
)
def test_an_option_may_be_cut_short(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    try:
        status: object = main(words)
    except SystemExit as ended:
        status = ended.code
    assert status == 0, capsys.readouterr().err


def test_predict_without_a_guest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", "--variant", "fixed-128", "--case", "stack-25", "--json", "-"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["predictions"]
    assert row["class"] == "leak"
    assert row["arguments"] == [{"index": 24, "type": "long", "predicted": [[0, 8]]}]


def test_predict_knows_both_frame_layouts(capsys: pytest.CaptureFixture[str]) -> None:
    labels = []
    for frame in ("record-below", "record-above"):
        main(["predict", "--variant=fp-delta", "--case=by-ref-24", f"--frame={frame}", "--json=-"])
        labels.append(json.loads(capsys.readouterr().out)["predictions"][0]["class"])
    # With the record above the locals, FP - SP reaches over the copy.
    assert labels == ["by-ref", "intact"]


@pytest.mark.parametrize("what", ["kernels", "variants", "cases", "tracers"])
def test_list(what: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", what, "--json", "-"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert all(row["name"] for row in rows)
    assert main(["list", what]) == 0
    assert rows[0]["name"] in capsys.readouterr().out


def test_list_has_the_first_release_of_each_tracer(capsys: pytest.CaptureFixture[str]) -> None:
    main(["list", "tracers", "--json", "-"])
    since = {row["name"]: row["since"] for row in json.loads(capsys.readouterr().out)}
    assert (since["kprobe-exact"], since["fentry"], since["fprobe"]) == ("4.20", "6.4", "6.14")


@pytest.mark.parametrize(
    ("script", "flaw"),
    [
        ("echo version 7.2.22", ""),
        ("echo version 10.0", ""),
        ("echo of no version", ""),
        ("echo version 6.2.0 ~7.2", "older than 7.2"),
        ("echo -sandbox support is not enabled >&2; exit 1", "-sandbox support is not enabled"),
    ],
)
def test_doctor_reports_what_will_not_do(
    script: str,
    flaw: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    program = tmp_path / doctor.QEMU.name
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(doctor, "PROGRAMS", (doctor.QEMU,))
    assert main(["doctor", "--json", "-"]) == (Exit.INFRASTRUCTURE if flaw else Exit.AGREES)
    found = json.loads(capsys.readouterr().out)
    assert found["programs"][0]["flaw"] == (flaw or None)
    assert found["missing_packages"] == ([doctor.QEMU.package] if flaw else [])
    main(["doctor"])
    assert flaw in capsys.readouterr().out


def test_doctor_takes_each_program_as_debian_has_it() -> None:
    programs = (*doctor.PROGRAMS, *doctor.EXTRA_PROGRAMS, *doctor.TEST_PROGRAMS)
    findings = doctor.examine(programs)
    assert {f.program.name: f.flaw for f in findings if f.flaw} == {}
    # At least the programs that made the modules of other tests are installed.
    assert any(f.version for f in findings)


def test_doctor_names_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    program = doctor.Program("no-such-program", "some-package", "nothing")
    monkeypatch.setattr(doctor, "PROGRAMS", (program,))
    assert main(["doctor"]) == Exit.INFRASTRUCTURE
    out = capsys.readouterr().out
    assert "apt-get install -y --no-install-recommends some-package" in out


def test_a_reader_that_stops_early_is_no_traceback() -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "harness.cli", "list", "cases"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout and process.stderr
    # The reader is gone before the command writes its first line.
    process.stdout.close()
    assert "Traceback" not in process.stderr.read()
    assert process.wait(30) == Exit.INFRASTRUCTURE
    process.stderr.close()


def test_no_qemu_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from harness.errors import InfrastructureError
    from harness.vm.machine import Machine
    from harness.vm.running import running

    monkeypatch.setenv("PATH", str(tmp_path))
    with (
        pytest.raises(InfrastructureError, match="qemu-system-aarch64 is not installed"),
        running(Machine(tmp_path / "Image"), b""),
    ):
        pass


def test_one_image_is_the_default() -> None:
    parse = cli.parser().parse_args
    assert not parse(["repro"]).exact
    assert not parse(["repro", "--one-image"]).exact
    assert parse(["repro", "--exact"]).exact


@pytest.mark.parametrize(
    ("status", "expected"), [(0, 0), (1, 1), (2, 128), (3, 128), (4, 128), (125, 125)]
)
def test_what_git_bisect_takes(monkeypatch: pytest.MonkeyPatch, status: int, expected: int) -> None:
    monkeypatch.setattr(repro, "run", lambda options: status)
    assert cli.main(["repro", "--bisect"]) == expected
    assert cli.main(["repro"]) == status


@pytest.mark.parametrize("words", [["--bisect", "--witness", "me"], ["--no-such", "--bisect"]])
def test_a_command_line_that_is_not_understood_stops_a_bisection(words: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(["repro", *words])
    assert caught.value.code == 128


@pytest.mark.parametrize("status", list(Exit))
def test_bisect_of_another_command_is_no_bisection_of_gits(
    monkeypatch: pytest.MonkeyPatch, status: Exit
) -> None:
    monkeypatch.setattr(nightly, "run", lambda options: status)
    assert cli.main(["nightly", "night.yaml", "--bisect"]) == status


def test_a_mistake_of_ours_is_not_reported_as_a_verdict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["jprobe-harness", "--store", "postgresql://me:secret@host/x"])
    monkeypatch.setattr(repro, "run", lambda options: [][0])
    assert cli.main(["repro"]) == Exit.OWN_FAULT
    error = capsys.readouterr().err
    assert error.startswith("jprobe-harness: A fault of this program's own: IndexError: list")
    assert "Traceback" not in error
    assert "  Report it with that file" in error
    (report,) = (tmp_path / "jprobe-harness/faults").iterdir()
    assert f"A report is in {report}." in error
    text = report.read_text()
    assert "lambda options: [][0]" in text
    assert "postgresql://me:...@host/x" in text
    assert f"Python: {sys.version}" in text
    assert cli.main(["repro", "--bisect"]) == 128


def test_a_mistake_of_ours_with_no_place_for_a_report(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "/proc/nowhere")
    monkeypatch.setattr(repro, "run", lambda options: [][0])
    assert cli.main(["repro"]) == Exit.OWN_FAULT
    error = capsys.readouterr().err
    assert "lambda options: [][0]" in error
    assert "IndexError: list index out of range.\n  Report it with the text above" in error


def test_no_memory_is_none_of_our_faults(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(options: object) -> int:
        raise MemoryError

    monkeypatch.setattr(repro, "run", run)
    assert cli.main(["repro"]) == Exit.INFRASTRUCTURE
    assert "Cannot allocate memory" in capsys.readouterr().err


def test_an_unknown_kernel_stops_a_bisection(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["repro", "--bisect", "--kernel", "no/such/tree"]) == 128
    assert "neither a kernel image nor" in capsys.readouterr().err


def test_a_header_is_found_as_a_program_is() -> None:
    assert doctor.is_there("stdio.h")
    assert not doctor.is_there("no/such-header.h")
    assert doctor.is_there("sh")
    header = doctor.Program("stdio.h", "libc6-dev", "a test")
    none = doctor.Program("no/such-header.h", "some-dev", "a test")
    findings = doctor.examine([header, none])
    assert [finding.version for finding in findings] == ["present", None]
    assert doctor.missing_packages(findings) == ["some-dev"]
