# SPDX-License-Identifier: GPL-2.0-only
"""What files say is kept until one of them changes, and no longer."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from harness.cases import kept
from harness.cases.catalog import Catalog
from harness.errors import ConfigError
from harness.host import cache


class Reader:
    """Counts the files that it reads."""

    def __init__(self) -> None:
        self.__qualname__ = type(self).__qualname__
        self.read: list[str] = []

    def __call__(self, path: Path) -> str:
        self.read.append(path.name)
        if not (text := path.read_text()):
            raise ConfigError(f"{path}: empty.")
        return text


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    # A file has been left alone for a second at least.
    monkeypatch.setattr("harness.host.inventory.SETTLED_SECONDS", -1)
    made = [tmp_path / name for name in ("one", "two")]
    for file in made:
        file.write_text(file.name)
    return made


def read(files: list[Path], reader: Reader) -> list[str]:
    """Read the files, and return the names of those that were looked into."""
    reader.read.clear()
    assert kept.read(files, reader) == [file.read_text() for file in files]
    return list(reader.read)


def test_a_file_is_read_again_only_if_one_has_changed(files: list[Path]) -> None:
    reader = Reader()
    assert read(files, reader) == ["one", "two"]
    assert read(files, reader) == []
    before = files[1].stat()
    files[1].write_text("TWO")
    os.utime(files[1], ns=(before.st_atime_ns, before.st_mtime_ns))
    assert read(files, reader) == ["one", "two"]
    assert read(files[:1], reader) == ["one"]


def test_our_own_code_counts_too(
    files: list[Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("harness.resources.PACKAGE", tmp_path)
    source = tmp_path / "model" / "case.py"
    source.parent.mkdir()
    source.write_text("")
    reader = Reader()
    assert read(files, reader) and not read(files, reader)
    source.write_text("# changed")
    assert read(files, reader) == ["one", "two"]


def test_a_file_that_was_just_written_is_not_relied_on(
    files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.host.inventory.SETTLED_SECONDS", 3600)
    reader = Reader()
    assert read(files, reader) == read(files, reader) == ["one", "two"]


def test_what_is_damaged_is_read_anew(
    files: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    reader = Reader()
    read(files, reader)
    (objects,) = (cache.root() / kept.KIND).glob("*/objects")
    objects.write_bytes(b"no pickle")
    assert read(files, reader) == ["one", "two"]
    assert "is made anew" in capsys.readouterr().err


def test_the_error_of_a_wrong_file(files: list[Path]) -> None:
    files[1].write_text("")
    for _ in range(2):
        with pytest.raises(ConfigError, match="two: empty"):
            kept.read(files, Reader())


def test_without_a_place_for_it_all_is_read(
    files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(files[0]))
    reader = Reader()
    assert read(files, reader) == read(files, reader) == ["one", "two"]


def test_few_are_kept(files: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "KEPT", 2)
    for number in range(5):
        files[0].write_text(f"{number}" * 100)
        kept.read(files, Reader())
    assert len(list((cache.root() / kept.KIND).glob("[!.]*/"))) == 2


def test_the_catalogue_is_the_same_from_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    read, known = Catalog(), Catalog()
    assert (read.cases, read.variants, read.kernels) == (known.cases, known.variants, known.kernels)
    assert len(list((tmp_path / "jprobe-harness" / kept.KIND).glob("*/"))) == 3
