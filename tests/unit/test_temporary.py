# SPDX-License-Identifier: GPL-2.0-only
"""Temporary folders are removed with the process that made them, and by no other."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness.host import cache, temporary

# Makes one of each, reports their names, and waits.
_OWNER = """
import sys
from pathlib import Path
from harness.host import cache, temporary
with temporary.folder() as here, cache.scratch(cache.root() / "kind") as beside:
    (here / "file").write_text("x")
    with temporary.file(cache.root() / "kind") as file:
        print(here, beside, file, sep="\\n", flush=True)
        sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    temporary._reap_once.cache_clear()


@contextmanager
def owner() -> Iterator[tuple[subprocess.Popen[str], list[Path]]]:
    """Start a process that has temporary folders, and yield it with their paths."""
    with subprocess.Popen(
        [sys.executable, "-c", _OWNER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        yield process, [Path(process.stdout.readline().strip()) for _ in range(3)]


def test_they_go_at_the_end() -> None:
    with temporary.folder() as folder, temporary.file(folder) as file:
        assert folder.stat().st_mode & 0o777 == 0o700
        (folder / "file").write_text("x")
        assert file.exists()
    assert not folder.exists()


def test_what_was_renamed_stays(tmp_path: Path) -> None:
    with temporary.folder(tmp_path) as folder, temporary.file(tmp_path) as file:
        (folder / "file").write_text("x")
        folder.rename(tmp_path / "whole")
        file.rename(tmp_path / "whole.json")
    assert (tmp_path / "whole/file").read_text() == "x"
    assert (tmp_path / "whole.json").exists()
    assert not folder.exists()


def test_an_owner_that_lives_is_not_robbed() -> None:
    with owner() as (process, paths):
        with temporary.folder():
            pass
        assert all(path.exists() for path in paths)
        process.communicate("")
    assert not any(path.exists() for path in paths)


def test_the_next_one_removes_what_a_killed_one_left() -> None:
    with owner() as (process, paths):
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert all(path.exists() for path in paths)
        with cache.scratch(cache.root() / "kind"):
            assert not any(path.exists() for path in paths)


def test_nothing_else_is_removed(tmp_path: Path) -> None:
    """Neither files of other names are removed, nor what a link of such a name points to."""
    others = [tmp_path / "tmp" / name for name in ("jprobe-1", "mine", "own-1")]
    for other in others:
        other.mkdir()
    link = tmp_path / "tmp/jprobe-own-link"
    link.symlink_to(others[1])
    with temporary.folder():
        pass
    assert all(path.is_dir() for path in (*others, link))


def test_what_a_process_still_has_goes_with_clear() -> None:
    held = temporary.folder()
    folder = held.__enter__()
    temporary.clear()
    assert not folder.exists()
    held.__exit__(None, None, None)


def test_a_folder_that_stays_reports_who_lives(tmp_path: Path) -> None:
    assert not temporary.is_held(tmp_path)
    handle = temporary.hold(tmp_path)
    assert handle is not None
    assert temporary.is_held(tmp_path)
    os.close(handle)
    assert not temporary.is_held(tmp_path)
