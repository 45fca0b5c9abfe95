# SPDX-License-Identifier: GPL-2.0-only
"""Entries that are damaged, or in use, are made anew beside what there is."""

from __future__ import annotations

import ctypes
import itertools
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from harness.errors import InfrastructureError
from harness.host import cache, temporary
from tests.unit.entries import counted


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def test_a_damaged_entry_is_made_anew(capfd: pytest.CaptureFixture[str]) -> None:
    folder, _ = counted("kind", "key")
    (folder / "file").write_text("")
    again, calls = counted("kind", "key")
    assert (again, (again / "file").read_text(), len(calls)) == (folder, "x", 1)
    said = capfd.readouterr().err
    assert said == "jprobe-harness: kind/key in the cache is made anew: file has 0 bytes, not 1.\n"
    assert counted("kind", "key")[1] == []
    assert capfd.readouterr().err == ""
    assert [path.name for path in folder.parent.iterdir()] in (["key", "key.lock"], ["key"])


def test_a_file_in_an_entrys_place() -> None:
    folder, _ = counted("kind", "key")
    shutil.rmtree(folder)
    folder.write_text("")
    assert len(counted("kind", "key")[1]) == 1
    assert not list(folder.parent.glob(".*"))


def test_an_entry_that_cannot_be_made_anew_stays(capfd: pytest.CaptureFixture[str]) -> None:
    folder, _ = counted("kind", "key")
    (folder / "file").write_text("")

    def fail(folder: Path) -> None:
        raise InfrastructureError("There is no archive.")

    with pytest.raises(InfrastructureError, match="no archive"):
        cache.entry("kind", "key", fail)
    assert (folder / "rest").exists()


def test_a_disk_that_damages_what_was_just_made(monkeypatch: pytest.MonkeyPatch) -> None:
    put = cache._put

    def lossy(folder: Path, final: Path) -> None:
        put(folder, final)
        (final / "file").write_text("")

    monkeypatch.setattr(cache, "_put", lossy)
    for _ in range(2):
        with pytest.raises(InfrastructureError, match="was just made, and is damaged: file has 0"):
            counted("kind", "key")


def test_ctrl_c_while_a_damaged_entry_is_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    folder, _ = counted("kind", "key")
    (folder / "file").write_text("")
    real = shutil.rmtree
    calls = itertools.count()

    def interrupted(path: Path, **options: Any) -> None:
        if next(calls) == 0:
            raise KeyboardInterrupt
        real(path, **options)

    monkeypatch.setattr(shutil, "rmtree", interrupted)
    with pytest.raises(KeyboardInterrupt):
        counted("kind", "key")
    temporary.clear()
    assert (folder / "file").read_text() == "x"
    assert {path.name for path in folder.parent.iterdir()} == {"key", "key.lock"}


def test_the_rest_of_an_entry(capfd: pytest.CaptureFixture[str]) -> None:
    folder, _ = counted("kind", "key")
    cache.check(folder)
    (folder / "rest").unlink()
    assert counted("kind", "key")[1] == []
    with pytest.raises(
        cache.DamagedEntry, match="kind/key in the cache is damaged: rest is missing"
    ):
        cache.check(folder)
    assert len(counted("kind", "key")[1]) == 1
    cache.check(folder)
    assert capfd.readouterr().err.count("\n") == 1


def test_an_entry_that_is_in_use_is_not_pulled_away(capfd: pytest.CaptureFixture[str]) -> None:
    """A process that is at its files goes on with them; they go with the next that is made."""
    folder, _ = counted("kind", "key", "old")
    handle = os.open(folder, os.O_RDONLY)
    with cache.using(folder):
        (folder / "file").write_text("")
        assert len(counted("kind", "key", "new")[1]) == 1
        assert (folder / "file").read_text() == "new"
        there = os.open("rest", os.O_RDONLY, dir_fd=handle)
        assert os.read(there, 9) == b"old"
        os.close(there)
        assert list(folder.parent.glob(".old-*"))
    os.close(handle)
    counted("kind", "other")
    assert not list(folder.parent.glob(".*"))


def test_an_entry_that_is_in_use_is_not_trimmed() -> None:
    folder, _ = counted("kind", "key")
    os.utime(folder, (0, 0))
    with cache.using(folder):
        cache.trim("kind", 0)
        assert folder.exists()
    cache.trim("kind", 0)
    assert not folder.exists()


def test_a_file_system_that_cannot_exchange(monkeypatch: pytest.MonkeyPatch) -> None:
    class Library:
        def renameat2(self, *words: object) -> int:
            return -1

    monkeypatch.setattr(ctypes, "CDLL", lambda name: Library())
    folder, _ = counted("kind", "key")
    (folder / "file").write_text("")
    assert len(counted("kind", "key")[1]) == 1
    assert not list(folder.parent.glob(".*"))


def _updated(folder: Path, text: str) -> str:
    """What was there before."""
    with cache.changing(folder):
        path = folder / "index"
        before = path.read_text() if path.exists() else ""
        path.write_text(text)
    return before


def test_a_folder_that_is_brought_up_to_date(capfd: pytest.CaptureFixture[str]) -> None:
    folder = cache.root() / "apt/suite"
    assert [_updated(folder, text) for text in "abc"] == ["", "a", "b"]
    assert capfd.readouterr().err == ""
    (folder / "index").write_text("")
    assert _updated(folder, "d") == ""
    assert "apt/suite in the cache is made anew: index has 0 bytes" in capfd.readouterr().err
    assert _updated(folder, "e") == "d"


def test_a_folder_that_could_not_be_brought_up_to_date(capfd: pytest.CaptureFixture[str]) -> None:
    folder = cache.root() / "apt/suite"
    _updated(folder, "a")
    with pytest.raises(KeyboardInterrupt), cache.changing(folder):
        raise KeyboardInterrupt
    assert _updated(folder, "b") == ""
    shutil.rmtree(folder)
    folder.write_text("")
    assert _updated(folder, "c") == ""
    assert _updated(folder, "d") == "c"
