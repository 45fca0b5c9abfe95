# SPDX-License-Identifier: GPL-2.0-only
"""Changes to a folder's files are found, and unchanged files are not read."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.host import inventory

BYTES = os.fsdecode(b"\xff\n\xe4")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "folder"
    (made / "below").mkdir(parents=True)
    (made / "vital").write_text("one")
    (made / "below/rest").write_text("two")
    (made / "below" / BYTES).write_text("three")
    (made / "below/program").write_text("#!")
    (made / "below/program").chmod(0o755)
    (made / "below/link").symlink_to("rest")
    # pathlib would normalise this target.
    (made / "below/roundabout").symlink_to("../.././/elsewhere")
    os.mkfifo(made / "pipe")
    inventory.write(made, ["vital"])
    assert inventory.fault_in_all(made) == ""
    return made


def _rewritten(path: Path, text: str) -> None:
    """Rewrite a file, and restore its times; `text` is as long as the old text."""
    status = path.stat()
    path.write_text(text)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def _linked(path: Path) -> None:
    path.unlink()
    path.symlink_to("elsewhere")


def _a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


DAMAGES: list[Callable[[Path], None]] = [
    lambda path: _rewritten(path, ""),
    lambda path: _rewritten(path, "t"),
    lambda path: _rewritten(path, "six"),
    lambda path: path.unlink(),
    lambda path: path.chmod(0o755),
    _linked,
    _a_folder,
]


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_to_what_is_vital(folder: Path, damage: Callable[[Path], None]) -> None:
    damage(folder / "vital")
    assert inventory.fault(folder).startswith("vital ")


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_to_the_rest(folder: Path, damage: Callable[[Path], None]) -> None:
    damage(folder / "below/rest")
    assert inventory.fault(folder) == ""
    assert inventory.fault_in_all(folder).startswith("below/rest ")
    # Damage that was found once is seen at each use.
    assert inventory.fault(folder).startswith("below/rest ")


@pytest.mark.parametrize("name", ["program", "link", BYTES])
def test_files_of_every_kind_belong_to_it(folder: Path, name: str) -> None:
    (folder / "below" / name).unlink()
    assert inventory.fault_in_all(folder)


def test_a_program_that_cannot_be_run_any_more(folder: Path) -> None:
    (folder / "below/program").chmod(0o644)
    assert inventory.fault_in_all(folder) == "below/program is no program"


def test_a_folder_that_is_gone(folder: Path) -> None:
    shutil.rmtree(folder / "below")
    assert inventory.fault_in_all(folder)
    shutil.rmtree(folder)
    assert inventory.fault(folder)


@pytest.mark.parametrize("part", [inventory.VITAL, inventory.REST])
@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_to_the_note(folder: Path, part: str, damage: Callable[[Path], None]) -> None:
    before = (folder / part).read_bytes()
    damage(folder / part)
    path = folder / part
    same = path.is_file() and path.read_bytes() == before and part == inventory.VITAL
    assert bool(inventory.fault(folder)) is not same


def test_what_was_added_does_no_harm(folder: Path) -> None:
    (folder / "more").write_text("more")
    assert inventory.fault_in_all(folder) == ""


def test_a_file_is_read_only_when_it_looks_different(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inventory, "SETTLED_SECONDS", -1)
    assert inventory.fault_in_all(folder) == ""
    read: list[str] = []
    whole = inventory._item

    def item(path: str) -> inventory.Item:
        read.append(path)
        return whole(path)

    monkeypatch.setattr(inventory, "_item", item)
    assert inventory.fault_in_all(folder) == ""
    assert read == []
    # A further link changes the ctime.
    (folder / "other").hardlink_to(folder / "vital")
    assert inventory.fault_in_all(folder) == ""
    assert str(folder / "vital") in read


def test_what_was_just_written_is_read_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second change within one tick of the clock would not be seen."""
    monkeypatch.setattr(inventory, "SETTLED_SECONDS", 3600)
    assert inventory.fault(folder) == ""
    assert not list(folder.glob("*.seen"))
