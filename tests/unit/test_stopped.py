# SPDX-License-Identifier: GPL-2.0-only
"""Ctrl-C or a fault of our own: what is left of a run, and how to go on."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

import pytest

from harness.cli import main
from harness.commands import cost as cost_command
from harness.commands import fuzz as fuzz_command
from harness.commands import storm as storm_command
from harness.commands.repro import judged
from harness.errors import Exit, Stopped
from harness.host import tool
from harness.kernel import treebuild
from harness.measure import fuzz
from harness.measure.storm import StormOutcome
from harness.modules import build as modules
from harness.modules.build import Modules
from harness.nightly import night, unit_runner
from harness.nightly.store import NightlyRun
from harness.nightly.unit import Unit, UnitKind
from harness.run import batch, logs, repro
from harness.run.batch import Boots
from harness.run.plan import Play
from harness.run.result import ended_run
from tests.unit import test_treebuild
from tests.unit.nights import MATRIX, Works, cell, done, written
from tests.unit.standin import source_tree
from tests.unit.test_logs import KERNEL
from tests.unit.test_reports import result


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(logs, "version", lambda: "QEMU 0")


@pytest.fixture
def built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Modules:
    """Replace the kernel and the modules that each command gets, and return the modules."""
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules/compiler").write_text("some gcc")
    made = Modules(tmp_path / "modules", "m", tmp_path)
    for command in (storm_command, cost_command):
        monkeypatch.setattr(command, "prepare", lambda *words: (KERNEL, made))
    monkeypatch.setattr(fuzz_command, "resolve", lambda *words: KERNEL)
    monkeypatch.setattr(modules, "build", lambda *words, **options: made)
    return made


def stop(*words: object, **options: object) -> NoReturn:
    raise KeyboardInterrupt


def one_storm_then(end: Callable[[], NoReturn]) -> Callable[[Any, Any], bool]:
    """Return what plays one storm in place of a boot, and calls `end` in place of the next."""

    def boot(boots: Any, share: Any) -> bool:
        if boots._outcomes:
            end()
        boots._add(StormOutcome(share.items[0], None, ()))
        return True

    return boot


def broken(*words: object, **options: object) -> NoReturn:
    """Raise an exception that no code of the program handles."""
    raise ZeroDivisionError("on purpose")


def reported(capsys: pytest.CaptureFixture[str], words: list[str], status: int) -> tuple[str, str]:
    """What a command that the user ends says of it, and what else it reports."""
    assert main(words) == status
    out, err = capsys.readouterr()
    assert "Traceback" not in out + err
    return out, err


@pytest.mark.parametrize(("broken", "status"), [(False, 3), (True, 1)])
def test_repro(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], broken: bool, status: int
) -> None:
    def judge(*words: object) -> NoReturn:
        raise ended_run(KeyboardInterrupt(), result(broken=broken, missing=1))

    monkeypatch.setattr(judged, "judge", judge)
    out, err = reported(capsys, ["repro"], status)
    assert "stack-9" in out
    assert err.startswith(
        "jprobe-harness: interrupted; 3 of 4 plays on debian:6.1 were judged, and the logs of them"
        " are kept.\n  See: jprobe-harness log somewhere."
    )
    out, err = reported(capsys, ["repro", "--json", "-"], status)
    assert len(json.loads(out)["verdicts"]) == 3
    assert "3 of 4 plays" in err


def test_a_comparison(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    names: list[str] = []

    def judge(request: object, name: str, *rest: object) -> Any:
        names.append(name)
        if name == "debian:6.12":
            raise ended_run(KeyboardInterrupt(), dataclasses.replace(result(missing=2), spec=name))
        return result()

    monkeypatch.setattr(judged, "judge", judge)
    kernels = ["--kernel", "debian:6.1", "--kernel", "debian:6.12", "--kernel", "debian:5.10"]
    out, err = reported(capsys, ["repro", *kernels], 3)
    assert names == ["debian:6.1", "debian:6.12"]
    assert "debian:6.1: 4 of 4 verdicts as predicted" in out
    assert "interrupted; 2 of 4 plays on debian:6.12 were judged" in err


def test_nothing_yet(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(judged, "judge", stop)
    _, err = reported(capsys, ["repro"], 3)
    assert err.startswith("jprobe-harness: interrupted; nothing was judged yet.\n  What was")


def test_fuzz(
    built: Modules, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(kernel: object, built: object, plays: Sequence[Play]) -> NoReturn:
        signal = KeyboardInterrupt()
        raise ended_run(signal, result(missing=1)) from signal

    monkeypatch.setattr(repro, "run", run)
    monkeypatch.setattr(fuzz, "fingerprint", str)
    out, err = reported(capsys, ["fuzz", "--count", "50"], 3)
    assert "of 50 signatures of seed 1 as predicted" in out
    assert "interrupted; 3 of 50 signatures were judged" in err


def test_a_failure_that_is_being_simplified(
    built: Modules, monkeypatch: pytest.MonkeyPatch
) -> None:
    failure = result(broken=True).outcomes[0]
    monkeypatch.setattr(repro, "run", stop)
    assert fuzz.shrink(KERNEL, failure, build=lambda *words: built).play == failure.play


def test_storm(
    built: Modules, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Boots, "_boot", one_storm_then(stop))
    out, err = reported(capsys, ["storm", "--variant", "none", "--variant", "v15"], 3)
    assert "none" in out
    assert "interrupted; 1 of 2 storms on some:kernel were judged" in err
    assert "See: jprobe-harness log " in err


def test_cost(
    built: Modules, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(batch, "playing", stop)
    _, err = reported(capsys, ["cost", "--variant", "none"], 3)
    assert "interrupted; 0 of 1 costs on some:kernel were judged" in err


def test_a_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(treebuild, "NEEDS", ())
    monkeypatch.setattr(tool, "follow", stop)
    with pytest.raises(Stopped) as caught:
        test_treebuild.build(source_tree(tmp_path / "linux", "6.1"))
    assert caught.value.sentence.startswith("building linux was not finished, and nothing")
    assert ".log" in caught.value.hint
    assert not test_treebuild.kept()


def test_a_nightly_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Works(monkeypatch, dies_after=2)
    file = str(written(tmp_path, MATRIX + "repetitions: 3\n"))
    words = ["nightly", file, "--jobs", "1"]
    _, err = reported(capsys, words, 3)
    assert err.splitlines()[-2:] == [
        "jprobe-harness: interrupted; 2 of 3 units of nightly run 1 are stored.",
        f"  Continue with: jprobe-harness nightly {file} --resume",
    ]
    Works(monkeypatch)
    assert main([*words, "--resume"]) == Exit.AGREES
    # Once all is stored, there is nothing to resume.
    monkeypatch.setattr(night, "report", stop)
    _, err = reported(capsys, words, 3)
    assert err.splitlines()[-2:] == [
        "jprobe-harness: interrupted; 3 of 3 units of nightly run 2 are stored.",
        "  See: jprobe-harness report",
    ]


def test_a_night_in_a_pipe_reports_each_unit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Works(monkeypatch)
    file = str(written(tmp_path, MATRIX + "repetitions: 2\n"))
    assert main(["nightly", file, "--jobs", "1", "--json", "-"]) == Exit.AGREES
    out, err = capsys.readouterr()
    json.loads(out)
    first, second = "debian:6.1 gcc cells 1", "debian:6.1 gcc cells 2"
    assert [line.partition(" ")[2] for line in err.splitlines()] == [
        f"the nightly run begins (0 of 2 units; next: {first})",
        f"{first}: 1 of 1 as predicted; 1 s (1 of 2 units; next: {second})",
        f"{second}: 1 of 1 as predicted; 1 s (2 of 2 units; that was all)",
    ]


def fault_report(err: str, tmp_path: Path) -> str:
    """The report on a fault of our own."""
    (file,) = (tmp_path / "state/jprobe-harness/faults").iterdir()
    reported = (
        f"A fault of this program's own: ZeroDivisionError: on purpose. A report is in {file}."
    )
    assert reported in err
    return file.read_text()


@pytest.mark.parametrize(("differs", "status"), [(False, 4), (True, 1)])
def test_a_fault_of_ours_in_repro(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    differs: bool,
    status: int,
) -> None:
    def judge(*words: object) -> NoReturn:
        try:
            broken()
        except ZeroDivisionError as error:
            made = dataclasses.replace(result(broken=differs, missing=1), broken=True)
            raise ended_run(error, made) from error

    monkeypatch.setattr(judged, "judge", judge)
    out, err = reported(capsys, ["repro", "--json", str(tmp_path / "out.json")], status)
    assert "stack-9" in out
    assert "3 of 4 plays on debian:6.1 were judged." in err
    assert "in broken" in fault_report(err, tmp_path)
    document = json.loads((tmp_path / "out.json").read_text())
    assert document["summary"]["exit_status"] == status


def test_a_fault_of_ours_on_one_of_several_kernels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def judge(request: object, name: str, *rest: object) -> Any:
        return broken() if name == "debian:6.12" else dataclasses.replace(result(), spec=name)

    monkeypatch.setattr(judged, "judge", judge)
    kernels = ["--kernel", "debian:6.1", "--kernel", "debian:6.12", "--kernel", "debian:5.10"]
    out, _ = reported(capsys, ["repro", *kernels], 4)
    for name in ("debian:6.1", "debian:5.10"):
        assert f"{name}: 4 of 4 verdicts as predicted" in out
    assert "debian:6.12: A fault of this program's own: ZeroDivisionError" in out
    fault_report(out, tmp_path)


def test_a_fault_of_ours_in_fuzz(
    built: Modules,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(batch, "playing", broken)
    out, err = reported(capsys, ["fuzz", "--count", "50"], 4)
    assert "0 of 50 signatures" in out
    assert "0 of 50 signatures were judged." in err
    assert "in broken" in fault_report(err, tmp_path)


def test_a_fault_of_ours_while_a_failure_is_simplified(
    built: Modules,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def run(kernel: object, built: object, plays: Sequence[Play]) -> Any:
        return result(broken=True)

    monkeypatch.setattr(repro, "run", run)
    monkeypatch.setattr(fuzz, "fingerprint", str)
    monkeypatch.setattr(fuzz, "shrink", broken)
    out, err = reported(capsys, ["fuzz", "--count", "4"], 4)
    assert "stack-9" in out
    fault_report(err, tmp_path)


def test_a_fault_of_ours_in_storm_and_cost(
    built: Modules,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(Boots, "_boot", one_storm_then(broken))
    out, err = reported(capsys, ["storm", "--variant", "none", "--variant", "v15"], 4)
    assert "none" in out
    assert "1 of 2 storms on some:kernel were judged." in err
    (logs_,) = (tmp_path / "state/jprobe-harness/runs").iterdir()
    assert f"logs: {logs_}" in fault_report(err, tmp_path)
    monkeypatch.setattr(Boots, "_boot", broken)
    _, err = reported(capsys, ["cost", "--variant", "none"], 4)
    assert "0 of 1 costs on some:kernel were judged." in err


def test_a_fault_of_ours_in_a_unit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(unit_runner._MAKERS, UnitKind.CELLS, broken)
    unit = Unit(kernel="debian:6.1", compiler="gcc", kind=UnitKind.CELLS, variants=[], deadline=60)
    (errors,) = unit_runner.perform(unit).harness_errors
    assert "in broken" in fault_report(errors, tmp_path)
    results = [done(cell(), harness_errors=[errors])]
    now = NightlyRun(1, "n", "m", "s", 1.0, 2.0)
    made = night.Report(now, (unit,), results, None, None, 0, ())
    assert made.exit_status is Exit.OWN_FAULT


def test_outputs_are_written_whatever_becomes_of_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def judge(*words: object) -> NoReturn:
        raise ended_run(KeyboardInterrupt(), result(missing=1))

    monkeypatch.setattr(judged, "judge", judge)
    json_, junit = tmp_path / "out.json", tmp_path / "out.xml"
    words = ["repro", "--junit", "/dev/full", "--json", str(json_), "--ktap", str(junit)]
    _, err = reported(capsys, words, 3)
    assert json_.exists()
    assert junit.exists()
    assert "3 of 4 plays" in err
    assert "jprobe-harness: /dev/full cannot be written: No space left on device." in err
