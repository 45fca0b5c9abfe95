# SPDX-License-Identifier: GPL-2.0-only
"""A night's matrix, its memory, and what counts as a regression."""

from __future__ import annotations

import dataclasses
import json
import re
import sys
import threading
import xml.etree.ElementTree as ElementTree
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from harness.cli import main
from harness.errors import ConfigError, Exit, InfrastructureError
from harness.guest.splat import Kind as SplatKind
from harness.guest.splat import Splat, fingerprint
from harness.nightly import compare, formats, kcidb, mail, matrix, night, worker
from harness.nightly.compare import Place, Sort
from harness.nightly.store import Night, Store
from harness.nightly.unit import Cell, Complaint, Done, Facts, Kind, Unit, result
from tests.unit.test_reports import check_ktap

MATRIX = """
shows: one kernel
kernels: [debian:6.1]
variants: [none, fixed-128]
cases: ["stack-9", "stack-8"]
"""
FACTS = Facts(release="6.1", version="1", key="k", engine="port", compiler="gcc", qemu="7",
              harness="0")  # fmt: skip


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(f"sqlite:///{tmp_path}/history.sqlite")


def written(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "night.yaml"
    file.write_text(text)
    return file


def cell(case: str = "stack-9", variant: str = "none", size: int = 8, **fields: Any) -> Cell:
    given: dict[str, Any] = {
        "variant": variant,
        "case": case,
        "seen": f"leak {size}" if size else "intact",
        "agrees": True,
        "reasons": [],
        "damage": {"argument 8": [[0, size]]} if size else {},
        "looks": {"area": {"before": "00" * 8, "seen": "ff" * 8}},
    }
    return Cell(**given | fields)


def done(*cells: Cell, kernel: str = "debian:6.1", repetition: int = 1, **fields: Any) -> Done:
    unit = Unit(kernel=kernel, compiler="gcc", kind=Kind.CELLS, repetition=repetition,
                variants=[], deadline=60)  # fmt: skip
    given = {"facts": FACTS, "cells": list(cells), "planned": len(cells), "played": len(cells)}
    return result(unit, 1.0, 2.0, **given | fields)


def test_what_a_matrix_stands_for(tmp_path: Path) -> None:
    text = MATRIX + "compilers: [gcc, clang]\nrepetitions: 2\nfuzz: {count: 10}\ndeadline: 2\n"
    found = matrix.load(written(tmp_path, text))
    assert [unit.name for unit in found.units] == [
        "debian:6.1 gcc cells 1", "debian:6.1 gcc cells 2", "debian:6.1 gcc fuzz 1",
        "debian:6.1 clang cells 1", "debian:6.1 clang cells 2", "debian:6.1 clang fuzz 1",
    ]  # fmt: skip
    assert {unit.deadline for unit in found.units} == {120}
    assert set(found.units[0].cases) == {"stack-8", "stack-9"}
    # The same work is the same matrix, and other work another.
    assert matrix.load(written(tmp_path, f"# again\n{text}")).digest == found.digest
    assert matrix.load(written(tmp_path, MATRIX)).digest != found.digest


def test_the_one_that_comes_with_the_project() -> None:
    found = matrix.load(Path(__file__).parents[2] / "configs/nightly/default.yaml")
    assert {"debian:5.10", "debian:7.2"} <= {unit.kernel for unit in found.units}
    assert {unit.kind for unit in found.units} == set(Kind)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("shows: x\nkernels: []\n", "name at least one"),
        (MATRIX + "repetitions: 0\n", "repetitions: give 1 to"),
        (MATRIX + "deadline: 0\n", "deadline: give minutes"),
        (MATRIX.replace("stack-8", "no-such"), "no-such"),
        (MATRIX.replace("fixed-128", "no-such"), "no-such"),
        (MATRIX + "kernal: x\n", "kernal"),
    ],
)
def test_a_matrix_that_nobody_could_play(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        matrix.load(written(tmp_path, text))


def test_what_is_stored_comes_back(store: Store, tmp_path: Path) -> None:
    now = store.begin(matrix.load(written(tmp_path, MATRIX)))
    complaint = Complaint(kind="BUG", title="BUG: x", fingerprint="f", text="a\nb", case="stack-9")
    brought = done(cell(), cell("stack-8", size=0), complaints=[complaint], boots=2,
                   retried=["again"], logs="somewhere")  # fmt: skip
    store.add(now, brought)
    (found,) = store.results(now, looks=True)
    key = [(one.case, one.variant) for one in found.cells]
    assert key == sorted(key)
    assert replace(found, cells=[]) == replace(brought, cells=[])
    assert {one.case: one for one in found.cells} == {one.case: one for one in brought.cells}
    # Without them, the bytes are left where they are.
    assert store.results(now)[0].cells[0].looks == {}


def test_no_verdict_is_played_again_into_green(store: Store, tmp_path: Path) -> None:
    now = store.begin(matrix.load(written(tmp_path, MATRIX)))
    red = cell(size=16, agrees=False, reasons=["not as predicted"])
    complaint = Complaint(kind="BUG", title="BUG: x", fingerprint="f", text="", case="stack-9")
    store.add(now, done(red, cell("stack-8"), own_trouble=["no disk"], complaints=[complaint],
                        kernel_trouble=["KernelDied: once"]))  # fmt: skip
    store.add(now, done(cell(), cell("stack-8"), cell("stack-10")))
    (found,) = store.results(now, looks=True)
    assert {one.case: one for one in found.cells}["stack-9"] == red
    assert (len(found.cells), found.played, found.planned) == (3, 3, 3)
    assert found.complaints == [complaint]
    assert found.kernel_trouble == ["KernelDied: once"]
    assert (found.retried, found.own_trouble) == (["no disk"], [])


def test_what_no_database_can_hold_is_stored_all_the_same(store: Store, tmp_path: Path) -> None:
    now = store.begin(matrix.load(written(tmp_path, MATRIX)))
    store.add(now, done(kernel_trouble=["a\0b", r"\u0000", "\\\0"]))
    (found,) = store.results(now)
    assert found.kernel_trouble == ["a\ufffdb", r"\u0000", "\\\ufffd"]


def test_the_same_unit_is_stored_once(store: Store, tmp_path: Path) -> None:
    now = store.begin(matrix.load(written(tmp_path, MATRIX)))
    store.add(now, done(cell(size=8)))
    store.add(now, done(cell(size=16)))
    (found,) = store.results(now)
    assert found.cells[0].seen == "leak 8"
    # The same bytes of another unit are no conflict.
    store.add(now, done(cell(), repetition=2))
    assert len(store.results(now)) == 2


def test_our_own_failure_is_made_up_for(store: Store, tmp_path: Path) -> None:
    wanted = matrix.load(written(tmp_path, MATRIX))
    now = store.begin(wanted)
    store.add(now, done(own_trouble=["no disk"]))
    store.finish(now)
    failed = night.report(store, now)
    assert (failed.complete, failed.exit_status) == (False, Exit.INFRASTRUCTURE)
    assert night.resumed(store, wanted).id == now.id
    store.add(now, done(cell()))
    (found,) = store.results(now)
    assert (found.retried, found.own_trouble, len(found.cells)) == (["no disk"], [], 1)
    # A kernel's failure is a result: nothing is done again.
    store.add(now, done(cell(size=16)))
    assert store.results(now) == [found]
    with pytest.raises(ConfigError, match="Nothing is left"):
        night.resumed(store, wanted)


def test_a_database_that_cannot_be() -> None:
    with pytest.raises(ConfigError, match="cannot be used"):
        Store("no url")
    with pytest.raises(ConfigError, match="cannot be used"):
        Store("sqlite:////proc/no/such.sqlite")
    with pytest.raises(ConfigError, match="cannot be used"):
        Store("postgresql+nosuchdriver://localhost/x")


def test_nothing_changed() -> None:
    accepted = [done(cell(), cell("stack-8", size=0))]
    assert compare.regressions(accepted, accepted) == []
    # Where a boot put things is no change.
    moved = [done(cell(reasons=["at 0xffff0000"], looks={}), cell("stack-8", size=0))]
    assert compare.regressions(moved, accepted) == []


def test_regressions() -> None:
    accepted = [done(cell(), cell("stack-8", size=0), cell("stack-10"))]
    now = [
        done(
            cell(size=16),
            cell("stack-10", agrees=False, reasons=["the count differs"]),
            cell("stack-11", agrees=False, reasons=["new and wrong"]),
            cell("stack-12"),
            complaints=[
                Complaint(kind="BUG", title="BUG: x", fingerprint="f", text="", case="stack-9")
            ],
            kernel_trouble=["KernelDied: at boot\nmore"],
        )
    ]
    found = {(one.sort, one.place.case): one for one in compare.regressions(now, accepted)}
    assert set(found) == {
        (Sort.VERDICT, "stack-9"),
        (Sort.GONE, "stack-8"),
        (Sort.VERDICT, "stack-10"),
        (Sort.VERDICT, "stack-11"),
        (Sort.SPLAT, "stack-9"),
        (Sort.KERNEL, ""),
    }
    changed = found[Sort.VERDICT, "stack-9"]
    assert (changed.was, changed.is_) == ("leak 8", "leak 16")
    bytes_ = "corrupt: argument 8: byte 0 to 15 (it was: argument 8: byte 0 to 7)"
    assert changed.details == (bytes_,)


def test_a_night_without_an_accepted_one_is_held_against_predictions() -> None:
    (found,) = compare.regressions([done(cell(agrees=False, reasons=["x"]), cell("b"))], None)
    assert found.place == Place("debian:6.1", "gcc", "none", "stack-9")
    assert found.was == "as predicted"


def test_a_kernel_that_is_not_in_both_is_not_compared() -> None:
    both = [done(cell()), done(cell(), kernel="debian:5.10")]
    assert compare.regressions(both[:1], both) == []
    assert compare.regressions(both, both[:1]) == []


def test_what_our_own_failure_kept_from_being_played_is_no_regression() -> None:
    accepted = [done(cell(), cell("stack-8"))]
    assert [one.sort for one in compare.regressions([done(cell())], accepted)] == [Sort.GONE]
    assert compare.regressions([done(cell(), own_trouble=["no disk"])], accepted) == []


def test_a_cell_that_flaps_is_never_green_by_luck() -> None:
    steady = [done(cell()), done(cell(), repetition=2)]
    flaps = [done(cell()), done(cell(size=16), repetition=2)]
    assert len(compare.regressions(flaps, steady)) == 1
    # Who accepted that it flaps accepted each of both.
    assert compare.regressions(flaps, flaps) == []
    assert compare.regressions(steady, flaps) == []


def test_when_a_cell_changed() -> None:
    nights = [[done(cell(size=size))] for size in (8, 8, 16, 8)]
    nights.insert(1, [])
    (found,) = compare.changes(nights).values()
    assert found == [(0, "leak 8"), (3, "leak 16"), (4, "leak 8")]


def test_the_same_complaint_of_another_boot() -> None:
    def splat(address: str, frame: str) -> Splat:
        title = f"Unable to handle kernel paging request at virtual address {address}"
        return Splat(SplatKind.OOPS, title, 3, [title, "Call trace:", f" {frame}+0x5c/0x1000 [m]"])

    one = fingerprint(splat("ffff800009e0bbf0", "probe"))
    assert one == fingerprint(splat("ffff80000a000000", "probe"))
    assert one != fingerprint(splat("ffff800009e0bbf0", "other"))


class Works:
    """In place of the process that does a unit."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, dies_after: int = 1000) -> None:
        self.names: list[str] = []
        self._dies_after = dies_after
        self._lock = threading.Lock()
        monkeypatch.setattr(night, "work", self)
        monkeypatch.setattr(night, "stop", lambda: None)

    def __call__(self, unit: Unit) -> Done:
        with self._lock:
            if len(self.names) == self._dies_after:
                raise KeyboardInterrupt
            self.names.append(unit.name)
        return done(cell(), kernel=unit.kernel, repetition=unit.repetition)


def spend(store: Store, now: Night) -> None:
    with ThreadPoolExecutor(1) as executor:
        night.spend(store, now, executor)


def test_what_is_done_is_not_done_again(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = matrix.load(written(tmp_path, MATRIX + "repetitions: 5\n"))
    with pytest.raises(ConfigError, match="Nothing is left"):
        night.resumed(store, wanted)
    first = Works(monkeypatch, dies_after=3)
    with pytest.raises(KeyboardInterrupt):
        spend(store, store.begin(wanted))
    now = night.resumed(store, wanted)
    before = night.report(store, now)
    assert (before.complete, before.exit_status) == (False, Exit.INFRASTRUCTURE)
    second = Works(monkeypatch)
    spend(store, now)
    names = [unit.name for unit in wanted.units]
    stored = [one.unit for one in store.results(now)]
    assert stored == names
    assert set(second.names) == set(names) - {one.unit for one in before.results}
    assert first.names[:2] == names[:2]
    after = night.report(store, store.night(now.id))
    assert (after.complete, after.exit_status) == (True, Exit.AGREES)
    # A night that was brought to its end is not gone on with.
    with pytest.raises(ConfigError, match="Nothing is left"):
        night.resumed(store, wanted)


def test_whoever_was_to_do_a_unit_fails(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(unit: Unit) -> Done:
        if unit.repetition == 1:
            raise OSError("no setpriv")
        return done(cell(), repetition=unit.repetition)

    monkeypatch.setattr(night, "work", fails)
    wanted = matrix.load(written(tmp_path, MATRIX + "repetitions: 2\n"))
    now = store.begin(wanted)
    spend(store, now)
    first, second = night.report(store, now).results
    assert first.own_trouble == ["OSError: no setpriv"]
    assert second.complete


def unit(**fields: Any) -> Unit:
    given: dict[str, Any] = {
        "kernel": "no/such/kernel", "compiler": "gcc", "kind": Kind.CELLS, "variants": [],
        "deadline": 60,
    }  # fmt: skip
    return Unit(**given | fields)


def test_a_kernel_that_cannot_be_had_costs_its_own_cells_only() -> None:
    found = worker.work(unit())
    assert found.unit == "no/such/kernel gcc cells 1"
    assert "neither a kernel image nor" in found.own_trouble[0]
    assert not found.complete


def test_a_unit_ends_at_its_deadline() -> None:
    found = worker.work(unit(deadline=0.01))
    assert "was not done within its deadline" in found.own_trouble[0]


def test_a_process_that_is_killed_is_tried_again_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stub = tmp_path / "python"
    stub.write_text("#!/bin/sh\necho last words >&2\nkill -9 $$\n")
    stub.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(stub))
    found = worker.work(unit())
    assert found.retried == ["Its process ended with status -9. last words"]
    assert found.own_trouble == found.retried


def test_the_command_accepts_and_tells(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Works(monkeypatch)
    file, url = str(written(tmp_path, MATRIX)), f"sqlite:///{tmp_path}/h.sqlite"
    assert main(["nightly", file, "--store", url, "--accept", "x"]) == Exit.USAGE
    assert "No night over this matrix" in capsys.readouterr().err
    assert main(["nightly", file, "--store", url, "--json", "-"]) == Exit.AGREES
    assert json.loads(capsys.readouterr().out)["regressions"] == []
    assert main(["nightly", file, "--store", url, "--accept", " "]) == Exit.USAGE
    assert main(["nightly", file, "--store", url, "--accept", "all good"]) == Exit.AGREES
    monkeypatch.setattr(night, "work", lambda unit: done(cell(size=16)))
    assert main(["nightly", file, "--store", url]) == Exit.DIFFERS
    out = capsys.readouterr().out
    assert "debian:6.1, none x stack-9: leak 8 -> leak 16" in out
    assert "1 regression against night 1, accepted by" in out
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


@pytest.fixture
def report(store: Store, tmp_path: Path) -> night.Report:
    """A night with a regression of each sort, and a unit of which nothing came."""
    text = MATRIX.replace("debian:6.1", "debian:6.1, debian:5.10")
    wanted = matrix.load(written(tmp_path, text + "fuzz: {count: 3}\n"))
    accepted, now = store.begin(wanted), store.begin(wanted)
    store.add(accepted, done(cell(), cell("stack-8", size=0), cell("stack-10")))
    store.add(accepted, done(cell(), kernel="debian:5.10"))
    store.accept(accepted, "me", "why not")
    complaint = Complaint(kind="BUG", title="BUG: <x> # \0y", fingerprint="f", text="",
                          case="stack-9", variant="none")  # fmt: skip
    store.add(now, done(cell(size=16), cell("stack-10"), complaints=[complaint]))
    store.add(now, done(kernel="debian:5.10", own_trouble=["No disk.\nMake room."], planned=2))
    fuzzed = Unit(kernel="debian:6.1", compiler="gcc", kind=Kind.FUZZ, variants=[], deadline=1)
    failure = cell("fuzz-1", agrees=False, reasons=["one byte"])
    store.add(now, result(fuzzed, 1.0, 2.0, cells=[failure], planned=3, played=3, facts=FACTS))
    return night.report(store, now)


def test_the_mail_is_readable_as_it_stands(report: night.Report) -> None:
    lines = mail.text(report).splitlines()
    assert lines[0] == "Subject: [jprobe-harness] 4 regressions in night 2"
    assert lines[1] == ""
    assert max(len(line) for line in lines) <= mail.COLUMNS
    text = "\n".join(lines)
    assert "* debian:6.1, none x stack-9\n  leak 8 -> leak 16\n  corrupt: argument 8: " in text
    assert "held against" not in text
    assert "against night 1, accepted by me (why not)" in " ".join(text.split())
    assert "missing: debian:5.10 gcc cells 1: No disk." in text
    assert "\n  jprobe-harness repro --kernel debian:6.1 --variant none --case stack-8" in text
    (fuzzed,) = [one for one in report.regressions if one.sort is Sort.FUZZ]
    alone = mail.text(dataclasses.replace(report, regressions=[fuzzed]))
    assert "\n  jprobe-harness fuzz --kernel debian:6.1 --seed 1 --count 3" in alone


def test_a_mail_names_only_so_many(report: night.Report) -> None:
    many = dataclasses.replace(report, regressions=list(report.regressions) * 20)
    assert f"and {len(many.regressions) - mail.NAMED} more." in mail.text(many)


def test_ktap_of_a_night(report: night.Report) -> None:
    lines = formats.as_ktap(report).splitlines()
    check_ktap(lines)
    assert "    not ok 2 stack-9 - leak 16" in lines
    assert "    # stack-9: leak 8 -> leak 16" in lines
    assert "    ok 1 stack-10 - leak 8" in lines
    assert "    not ok 1 signatures - 2 of 3" not in lines
    assert sum(line.startswith("not ok") for line in lines) == 3


def test_junit_of_a_night(report: night.Report) -> None:
    top = ElementTree.fromstring(formats.as_junit(report))
    assert len(top) == 3
    for suite in top:
        cases = suite.findall("testcase")
        assert int(suite.attrib["tests"]) == len(cases) > 0
        assert int(suite.attrib["failures"]) == len(suite.findall("testcase/failure"))
        assert int(suite.attrib["errors"]) == len(suite.findall("testcase/error"))
    assert [suite.attrib["errors"] for suite in top] == ["0", "0", "1"]
    assert top.find("testsuite/testcase[@name='stack-8']/failure") is not None


def test_annotations_of_a_night(report: night.Report) -> None:
    lines = formats.as_annotations(report).splitlines()
    assert len(lines) == len(report.regressions) + 1
    assert all(re.match(r"::(error|warning) title=[^:,]+::\S", line) for line in lines)
    assert "::warning title=debian%3A5.10 gcc cells 1::No disk.%0AMake room." in lines


def test_kcidb_of_a_night(report: night.Report) -> None:
    found = json.loads(kcidb.document(report))
    by_path = {(one["path"], one["status"]) for one in found["tests"]}
    assert ("jprobe.stack.none.stack-9", "FAIL") in by_path
    assert ("jprobe.stack.none.stack-10", "PASS") in by_path
    assert ("jprobe.stack.run.complete", "ERROR") in by_path
    builds = {one["id"] for one in found["builds"]}
    assert {one["build_id"] for one in found["tests"]} == builds
    assert {one["checkout_id"] for one in found["builds"]} == {o["id"] for o in found["checkouts"]}
    # Its own schema is what holds it.
    with pytest.raises(InfrastructureError, match="KCIDB would not take"):
        kcidb.document(report, "Not An Origin")


def test_the_command_writes_all_forms(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Works(monkeypatch)
    file, url = str(written(tmp_path, MATRIX)), f"sqlite:///{tmp_path}/h.sqlite"
    forms = ("json", "junit", "ktap", "kcidb", "mail", "annotations")
    words = [word for form in forms for word in (f"--{form}", str(tmp_path / form))]
    assert main(["nightly", file, "--store", url, *words]) == Exit.AGREES
    assert "No regression" in capsys.readouterr().out
    sizes = {form: (tmp_path / form).stat().st_size for form in forms}
    assert all(size for form, size in sizes.items() if form != "annotations"), sizes
    # One of them on standard output has it to itself.
    assert main(["nightly", file, "--store", url, "--ktap", "-"]) == Exit.AGREES
    check_ktap(capsys.readouterr().out.splitlines())
    no = str(tmp_path / "no/such")
    assert main(["nightly", file, "--store", url, "--mail", no]) == Exit.USAGE


def test_nights_of_another_matrix_are_not_compared(store: Store, tmp_path: Path) -> None:
    wanted = matrix.load(written(tmp_path, MATRIX))
    accepted = store.begin(wanted)
    store.add(accepted, done(cell()))
    store.accept(accepted, "me", "why not")
    other = store.begin(dataclasses.replace(wanted, name="other"))
    assert night.report(store, other).baseline is None
    # The same one after it was changed is.
    changed = matrix.load(written(tmp_path, MATRIX + "repetitions: 2\n"))
    assert changed.digest != wanted.digest
    found = night.report(store, store.begin(changed)).baseline
    assert found
    assert found.night == accepted.id


def test_random_signatures_end_with_a_failure() -> None:
    fuzzed = Unit(kernel="debian:6.1", compiler="gcc", kind=Kind.FUZZ, variants=[], deadline=1)
    assert result(fuzzed, 1.0, 2.0, planned=9, played=3, cells=[cell(agrees=False)]).complete
    assert not result(fuzzed, 1.0, 2.0, planned=9, played=3).complete


def test_old_nights_are_forgotten(store: Store, tmp_path: Path) -> None:
    wanted = matrix.load(written(tmp_path, MATRIX))
    nights = [store.begin(wanted) for _ in range(5)]
    for number, one in enumerate(nights):
        store.add(one, done(cell(looks={"area": {"seen": f"{number:02x}"}})))
    store.accept(nights[1], "me", "why not")
    assert store.prune(2) == 2
    assert [one.id for one in store.nights()] == [nights[i].id for i in (4, 3, 1)]
    (found,) = store.results(nights[1], looks=True)
    assert found.cells[0].looks == {"area": {"seen": "01"}}
    assert store.results(nights[0]) == []
    assert store.prune(2) == 0


def test_the_user_is_told(
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
    assert heard.read_text().startswith("1\nSubject: [jprobe-harness] 1 regression in night 2\n")
    assert main([*words[:-1], "exit 7"]) == Exit.INFRASTRUCTURE
    assert "ended with status 7; the night's is 1" in capsys.readouterr().err
