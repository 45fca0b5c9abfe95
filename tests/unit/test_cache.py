# SPDX-License-Identifier: GPL-2.0-only
"""Entries appear whole or not at all."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness.errors import InfrastructureError
from harness.host import cache, inventory, lock
from tests.unit.entries import counted


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path


def test_an_entry_is_made_once() -> None:
    calls = []

    def make(folder: Path) -> None:
        calls.append(folder)
        (folder / "file").write_text("x")

    first = cache.entry("kind", "key", make)
    assert cache.entry("kind", "key", make) == first
    assert (first / "file").read_text() == "x"
    assert len(calls) == 1


def test_a_failure_leaves_nothing(own_cache: Path) -> None:
    def make(folder: Path) -> None:
        (folder / "half").write_text("x")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cache.entry("kind", "key", make)
    left = [path.name for path in (own_cache / "jprobe-harness/kind").iterdir()]
    assert left in (["key.lock"], [])


def test_a_full_disk_is_one_sentence() -> None:
    def make(folder: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(InfrastructureError, match="No space left on device") as caught:
        cache.entry("kind", "key", make)
    assert "XDG_CACHE_HOME" in caught.value.hint
    assert not (cache.root() / "kind/key").exists()


def test_two_runs_make_one_entry() -> None:
    started = threading.Barrier(2)
    calls = []

    def make(folder: Path) -> None:
        calls.append(folder)
        (folder / "file").write_text("x")

    def run() -> None:
        started.wait()
        cache.entry("kind", "key", make)

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(calls) == 1


def test_digest_keeps_parts_apart() -> None:
    assert cache.digest("ab", "c") != cache.digest("a", "bc")
    assert cache.digest("ab", b"c") == cache.digest(b"ab", "c")


def test_the_entries_that_were_used_longest_ago_go(monkeypatch: pytest.MonkeyPatch) -> None:
    def make(folder: Path) -> None:
        (folder / "file").write_text("x")

    entries = [cache.entry("kind", f"key{number}", make) for number in range(4)]
    for age, entry in enumerate(reversed(entries)):
        past = entry.stat().st_mtime - (age + 1) * cache.IN_USE_SECONDS
        os.utime(entry, (past, past))
    cache.used(entries[0])
    # What another run is still making is no entry.
    scratch = entries[0].with_name(".tmp-another")
    scratch.mkdir()
    os.utime(scratch, (0, 0))
    cache.trim("kind", 2)
    assert scratch.exists()
    assert [entry.exists() for entry in entries] == [True, False, False, True]


def test_what_takes_too_much_room_goes() -> None:
    def make(folder: Path) -> None:
        (folder / "large").write_bytes(bytes(1 << 20))
        # It has its size, and takes no room.
        with (folder / "sparse").open("wb") as file:
            file.truncate(1 << 30)

    entries = [cache.entry("kind", f"key{number}", make, large=["sparse"]) for number in range(4)]
    now = time.time()
    for age, entry in enumerate(entries):
        past = now - age * 10
        os.utime(entry, (past, past))
    cache.trim("kind", 4, unused_seconds=-1, size=4 << 20)
    assert [entry.exists() for entry in entries] == [True, True, True, False]
    cache.trim("kind", 1, unused_seconds=-1, size=4 << 20)
    assert [entry.exists() for entry in entries] == [True, False, False, False]


def test_an_entry_that_may_be_in_use_stays() -> None:
    entries = [cache.entry("kind", f"key{number}", lambda folder: None) for number in range(3)]
    cache.trim("kind", 1)
    assert all(entry.exists() for entry in entries)


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a file that was written long enough ago for its content to be remembered."""
    monkeypatch.setattr(inventory, "SETTLED_SECONDS", -1)
    (tmp_path / "file").write_text("one")
    return tmp_path / "file"


def test_a_content_is_remembered(file: Path) -> None:
    looks = [(str(file), file.stat())]
    assert cache.remembered(looks, lambda: "read") == "read"
    assert cache.remembered(looks, lambda: "again") == "read"


def test_a_file_with_the_size_and_times_of_another(file: Path, tmp_path: Path) -> None:
    first = cache.content(file)
    status = file.stat()
    other = tmp_path / "other"
    other.write_text("two")
    os.utime(other, ns=(status.st_atime_ns, status.st_mtime_ns))
    other.replace(file)
    second = cache.content(file)
    changed = file.stat().st_ctime_ns
    # Until a tick of the file system's clock has passed.
    while file.stat().st_ctime_ns == changed:
        file.write_text("six")
        os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert len({first, second, cache.content(file)}) == 3


def test_what_was_just_written_is_not_remembered(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second change within one tick of the clock would not be seen."""
    monkeypatch.setattr(inventory, "SETTLED_SECONDS", 3600)
    looks = [(str(file), file.stat())]
    assert cache.remembered(looks, lambda: "read") == "read"
    assert cache.remembered(looks, lambda: "again") == "again"


@pytest.mark.parametrize(("mask", "entry", "note"), [(0o022, 0o755, 0o644), (0o077, 0o700, 0o600)])
def test_who_may_read_the_cache(mask: int, entry: int, note: int) -> None:
    before = os.umask(mask)
    try:
        folder, _ = counted("kind", "key")
        cache.note(folder.parent / "note.json", key="k")
    finally:
        os.umask(before)
    assert folder.stat().st_mode & 0o777 == entry
    assert (folder.parent / "note.json").stat().st_mode & 0o777 == note


def test_a_cache_that_can_only_be_read(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Nothing is written down, and all is read again."""
    folder, _ = counted("kind", "key")

    def refuse(*words: object, **named: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    for module, name in ((os, "utime"), (inventory, "replace"), (cache, "lock")):
        monkeypatch.setattr(module, name, refuse)
    monkeypatch.setattr(inventory, "SETTLED_SECONDS", -1)
    assert cache.used(counted("kind", "key")[0]) == folder
    assert cache.content(folder / "file") == cache.content(folder / "file")
    (folder / "file").write_text("")
    with pytest.raises(InfrastructureError, match=r"file has 0 bytes.*made anew: Read-only"):
        counted("kind", "key")


def test_what_a_path_is_part_of() -> None:
    folder, _ = counted("kind", "key")
    assert cache.containing(folder / "file") == [folder]
    assert cache.containing(Path("/usr")) == []
    mine = cache.root() / "mine/linux"
    mine.mkdir(parents=True)
    assert cache.containing(mine) == []


DAMAGES = [b"", b'{"check":"', b"[]", b'{"check": "x", "asked": 1.5, "key": "k"}', None]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_note_that_was_damaged(
    own_cache: Path, damage: bytes | None, capfd: pytest.CaptureFixture[str]
) -> None:
    path = own_cache / "kind/note.json"
    assert cache.recall(path) is None
    cache.note(path, asked=1.5, key="k")
    assert cache.recall(path) == {"asked": 1.5, "key": "k"}
    assert capfd.readouterr().err == ""
    if damage is None:
        path.unlink()
        path.mkdir()
    else:
        path.write_bytes(damage)
    assert cache.recall(path) is None
    assert "kind/note.json in the cache is made anew" in capfd.readouterr().err
    cache.note(path, asked=2.5, key="k")
    assert cache.recall(path) == {"asked": 2.5, "key": "k"}


@contextmanager
def held_elsewhere() -> Iterator[subprocess.Popen[str]]:
    """Another process has the lock, until its input ends."""
    code = (
        "import sys\nfrom harness.host import cache\nwith cache.lock('kind/key'):\n"
        "    print('held', flush=True)\n    sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, "with a blank", "and\x1b[2J"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == "held\n"
        yield process
        process.communicate("")


def test_who_holds_a_lock_is_reported_once(
    own_cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = own_cache / "jprobe-harness/kind/key.lock"
    monkeypatch.setattr(lock, "SILENT_SECONDS", 0.1)
    monkeypatch.setattr(lock, "LOCK_SECONDS", 0.1)
    with held_elsewhere() as process:
        with pytest.raises(InfrastructureError) as caught, cache.lock("kind/key"):
            pass
        pid = process.pid
    assert f"PID {pid} (" in caught.value.sentence
    assert f"has held {path} for" in caught.value.sentence
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"jprobe-harness: {path} is held by PID {pid} (")
    assert "'with a blank'" in line
    assert "\x1b" not in line
    with cache.lock("kind/key"):
        assert capsys.readouterr().err == ""
