# SPDX-License-Identifier: GPL-2.0-only
"""What the memory of nightly runs must do, in whichever database."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from msgspec.structs import replace
from sqlalchemy import select, text

from harness.errors import ConfigError, Exit
from harness.nightly import matrix, night
from harness.nightly.database import tables
from harness.nightly.database.migrate import kernel_error
from harness.nightly.store import Store
from harness.nightly.unit import CellState, Complaint
from harness.run import logs
from harness.tracers.cell import Status
from harness.tracers.reading import Read
from tests.unit.nights import (
    MATRIX,
    SURVEY,
    Works,
    cell,
    done,
    spend,
    surveyed,
    traced,
    tracing,
    written,
)

# From what a store is now to what it was.
SCHEMA_1 = (
    "UPDATE unit SET kernel_errors = '[\"a warning\"]'",
    "ALTER TABLE unit RENAME COLUMN kernel_errors TO kernel_trouble",
    "ALTER TABLE unit RENAME COLUMN harness_errors TO own_trouble",
    "ALTER TABLE cell ADD COLUMN seen TEXT",
    "UPDATE cell SET seen = 'intact' WHERE \"case\" = 'stack-8'",
    "UPDATE cell SET seen = 'leak 8' WHERE \"case\" = 'stack-9'",
    "UPDATE cell SET seen = 'witness-disagrees' WHERE \"case\" = 'top'",
    "ALTER TABLE cell DROP COLUMN state",
    "ALTER TABLE cell DROP COLUMN classes",
)


class StoreContract:
    """The tests; a subclass has a fixture `store`, which is new and empty."""

    def test_what_is_stored_comes_back(self, store: Store, tmp_path: Path) -> None:
        now = store.begin(matrix.load(written(tmp_path, MATRIX)))
        complaint = Complaint(
            kind="BUG", title="BUG: x", fingerprint="f", text="a\nb", case="stack-9"
        )
        brought = done(cell(), cell("stack-8", size=0), complaints=[complaint], boots=2,
                       retried=["again"], logs="somewhere")  # fmt: skip
        store.add(now, brought)
        (found,) = store.results(now, looks=True)
        key = [(one.case, one.variant) for one in found.cells]
        assert key == sorted(key)
        assert replace(found, cells=[]) == replace(brought, cells=[])
        assert {one.case: one for one in found.cells} == {one.case: one for one in brought.cells}
        # Without `looks`, the bytes are not read.
        assert store.results(now)[0].cells[0].looks == {}

    def test_a_survey_comes_back(self, store: Store, tmp_path: Path) -> None:
        now = store.begin(matrix.load(written(tmp_path, MATRIX + "survey: true\n")))
        store.add(now, done(cell()))
        store.add(now, surveyed(None, harness_errors=["no disk"]))
        assert [one.survey for one in store.results(now)] == [None, None]
        store.add(now, surveyed())
        store.add(now, surveyed(replace(SURVEY, functions=1)))
        cells, found = store.results(now)
        assert replace(found, retried=[]) == surveyed()
        assert cells.survey is None
        store.begin(matrix.load(written(tmp_path, MATRIX)))
        assert store.prune(1) == 1
        with store._engine.begin() as connection:
            assert connection.execute(select(tables.SURVEYS)).all() == []

    def test_a_store_from_before_surveys_gets_their_table(
        self, store: Store, tmp_path: Path
    ) -> None:
        now = store.begin(matrix.load(written(tmp_path, MATRIX)))
        store.add(now, done(cell()))
        before = store.results(now)
        tables.SURVEYS.drop(store._engine)
        with Store(store._engine.url.render_as_string(hide_password=False)) as opened:
            assert opened.results(now) == before
            opened.add(now, surveyed())
            assert opened.results(now) == [*before, surveyed()]

    def test_what_tracers_read_comes_back(self, store: Store, tmp_path: Path) -> None:
        changed = traced("fprobe", damage={"argument 8": [[0, 4], [6, 8]]}, called=False)
        cells = (
            traced(),
            traced(case="top", status=Status.DIFFERS, reads=[Read.ANOTHER], reasons=["x", "y"]),
            changed,
            traced("kprobe", status=Status.UNPREDICTED, refused="not before v6.1", reads=[]),
        )
        nights = [store.begin(matrix.load(written(tmp_path, MATRIX))) for _ in range(3)]
        for now in nights[:2]:
            store.add(now, tracing(*cells))
            assert store.results(now) == [tracing(*cells)]
        store.add(nights[2], tracing(*cells[:-1]))
        with store._engine.begin() as connection:
            assert len(connection.execute(select(tables.TRACED)).all()) == 8
            # What is the same again is stored once.
            assert len(connection.execute(select(tables.LOOKS)).all()) == 3
        assert store.prune(1) == 2
        with store._engine.begin() as connection:
            assert len(connection.execute(select(tables.LOOKS)).all()) == 2
        assert store.results(nights[2]) == [tracing(*cells[:-1])]

    def test_a_tracer_is_not_played_again_into_green(self, store: Store, tmp_path: Path) -> None:
        now = store.begin(matrix.load(written(tmp_path, MATRIX)))
        red = traced(status=Status.DIFFERS, reasons=["x"])
        store.add(now, tracing(red, planned=2, harness_errors=["no disk"]))
        store.add(now, tracing(traced(), traced("fprobe")))
        (found,) = store.results(now)
        assert found.traced == [red, traced("fprobe")]
        assert (found.played, found.complete, found.retried) == (2, True, ["no disk"])

    def test_a_store_from_before_tracers_gets_their_table(
        self, store: Store, tmp_path: Path
    ) -> None:
        now = store.begin(matrix.load(written(tmp_path, MATRIX)))
        store.add(now, done(cell()))
        before = store.results(now)
        tables.TRACED.drop(store._engine)
        with Store(store._engine.url.render_as_string(hide_password=False)) as opened:
            assert opened.results(now) == before
            opened.add(now, tracing(traced()))
            assert opened.results(now) == [*before, tracing(traced())]

    def test_a_store_of_schema_1_is_brought_up_to_date(self, store: Store, tmp_path: Path) -> None:
        now = store.begin(matrix.load(written(tmp_path, MATRIX)))
        cells = cell(), cell("stack-8", size=0), cell("top", state=CellState.DISPUTED, classes={})
        brought = done(
            *cells, kernel_errors=[kernel_error("a warning")], harness_errors=["no disk"]
        )
        store.add(now, brought)
        before = store.results(now)
        with store._engine.begin() as connection:
            for change in SCHEMA_1:
                connection.execute(text(change))
        with Store(store._engine.url.render_as_string(hide_password=False)) as opened:
            assert opened.results(now) == before
        assert before[0].harness_errors == ["no disk"]

    def test_no_verdict_is_played_again_into_green(self, store: Store, tmp_path: Path) -> None:
        now = store.begin(matrix.load(written(tmp_path, MATRIX)))
        red = cell(size=16, agrees=False, reasons=["not as predicted"])
        complaint = Complaint(kind="BUG", title="BUG: x", fingerprint="f", text="", case="stack-9")
        once = kernel_error("Died: once")
        store.add(now, done(red, cell("stack-8"), harness_errors=["no disk"],
                            complaints=[complaint], kernel_errors=[once]))  # fmt: skip
        store.add(now, done(cell(), cell("stack-8"), cell("stack-10")))
        (found,) = store.results(now, looks=True)
        assert {one.case: one for one in found.cells}["stack-9"] == red
        assert (len(found.cells), found.played, found.planned) == (3, 3, 3)
        assert found.complaints == [complaint]
        assert found.kernel_errors == [once]
        assert (found.retried, found.harness_errors) == (["no disk"], [])

    def test_what_no_database_can_hold_is_stored_all_the_same(
        self, store: Store, tmp_path: Path
    ) -> None:
        now = store.begin(matrix.load(written(tmp_path, MATRIX)))
        store.add(now, done(kernel_errors=list(map(kernel_error, ["a\0b", r"\u0000", "\\\0"]))))
        (found,) = store.results(now)
        texts = [error.text for error in found.kernel_errors]
        assert texts == ["a\ufffdb", r"\u0000", "\\\ufffd"]

    def test_the_same_unit_is_stored_once(self, store: Store, tmp_path: Path) -> None:
        now = store.begin(matrix.load(written(tmp_path, MATRIX)))
        store.add(now, done(cell(size=8)))
        store.add(now, done(cell(size=16)))
        (found,) = store.results(now)
        assert found.cells[0].seen == "leak 8"
        # The same bytes of another unit are no conflict.
        store.add(now, done(cell(), repetition=2))
        assert len(store.results(now)) == 2

    def test_our_own_failure_is_made_up_for(self, store: Store, tmp_path: Path) -> None:
        wanted = matrix.load(written(tmp_path, MATRIX))
        now = store.begin(wanted)
        store.add(now, done(harness_errors=["no disk"]))
        store.finish(now)
        failed = night.report(store, now)
        assert (failed.complete, failed.exit_status) == (False, Exit.INFRASTRUCTURE)
        assert night.resumed(store, wanted).id == now.id
        store.add(now, done(cell()))
        (found,) = store.results(now)
        assert (found.retried, found.harness_errors, len(found.cells)) == (["no disk"], [], 1)
        # A kernel's failure is a result: nothing is done again.
        store.add(now, done(cell(size=16)))
        assert store.results(now) == [found]
        with pytest.raises(ConfigError, match="Nothing is left"):
            night.resumed(store, wanted)

    def test_what_is_done_is_not_done_again(
        self, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
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
        # A nightly run that was brought to its end is not gone on with.
        with pytest.raises(ConfigError, match="Nothing is left"):
            night.resumed(store, wanted)

    def test_nights_of_another_matrix_are_not_compared(self, store: Store, tmp_path: Path) -> None:
        wanted = matrix.load(written(tmp_path, MATRIX))
        accepted = store.begin(wanted)
        store.add(accepted, done(cell()))
        store.accept(accepted, "me", "why not")
        other = store.begin(dataclasses.replace(wanted, name="other"))
        assert night.report(store, other).baseline is None
        # A changed matrix of the same name is compared.
        changed = matrix.load(written(tmp_path, MATRIX + "repetitions: 2\n"))
        assert changed.digest != wanted.digest
        found = night.report(store, store.begin(changed)).baseline
        assert found
        assert found.night == accepted.id

    def test_logs_stay_as_long_as_their_night(
        self, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
        wanted = matrix.load(written(tmp_path, MATRIX))
        folders = [tmp_path / f"jprobe-harness/runs/{number}" for number in range(4)]
        for folder in folders:
            folder.mkdir(parents=True)
        for named in (folders[:2], folders[1:3]):
            now = store.begin(wanted)
            Works(monkeypatch, logs=", ".join(map(str, named)))
            spend(store, now)
        store.prune(1)
        # The last folder belongs to no nightly run.
        assert [folder.exists() for folder in folders] == [False, True, True, True]
        assert [logs.is_held(folder) for folder in folders[1:]] == [True, True, False]

    def test_old_nights_are_forgotten(self, store: Store, tmp_path: Path) -> None:
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
