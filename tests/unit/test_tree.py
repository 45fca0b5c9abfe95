# SPDX-License-Identifier: GPL-2.0-only
"""Source trees: what they are of, when they are the same, and their copies."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from harness.errors import ConfigError
from harness.kernel import tree
from tests.unit.standin import source_tree


def ignore(what: str, percent: float) -> None:
    """No progress is shown in a test."""


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def digest(path: Path) -> str:
    return tree.opened(path, ignore).digest


def test_what_a_folder_holds(tmp_path: Path) -> None:
    path = source_tree(tmp_path / "linux", "4.8")
    assert tree.is_source(path)
    assert not tree.is_output(path)
    assert tree.opened(path, ignore).version == (4, 8)
    output = tmp_path / "output"
    output.mkdir()
    assert not tree.is_output(output)
    for name in (".config", "Makefile"):
        (output / name).touch()
    assert tree.is_output(output)
    assert not tree.is_source(output)


def test_a_tree_without_arm64(tmp_path: Path) -> None:
    path = source_tree(tmp_path / "linux", "4.8")
    (path / "arch/arm64/Makefile").unlink()
    with pytest.raises(ConfigError, match="has no arch/arm64"):
        tree.opened(path, ignore)


def test_contents_tell_trees_apart_and_nothing_else_does(tmp_path: Path) -> None:
    one = source_tree(tmp_path / "one", "4.8")
    other = source_tree(tmp_path / "other", "4.8")
    first = digest(one)
    assert digest(other) == first
    # What a build in the tree leaves is not the tree's.
    for name in (".config", "kernel/kprobes.o", "vmlinux", "include/generated/autoconf.h"):
        (other / name).parent.mkdir(parents=True, exist_ok=True)
        (other / name).write_text("made")
    (other / ".git").mkdir()
    (other / ".git/HEAD").write_text("ref")
    assert digest(other) == first
    (other / "kernel/kprobes.c").write_text("/* changed */\n")
    assert digest(other) != first
    (one / "kernel/kprobes.c").chmod(0o755)
    assert digest(one) != first
    os.utime(one / "Makefile")
    (one / "kernel/kprobes.c").chmod(0o644)
    assert digest(one) == first


def test_a_change_that_keeps_size_and_times(tmp_path: Path) -> None:
    path = source_tree(tmp_path / "linux", "4.8")
    first = digest(path)
    file = path / "kernel/kprobes.c"
    status = file.stat()
    file.write_text(file.read_text().swapcase())
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert digest(path) != first


def test_a_copy_has_no_more_than_the_sources(tmp_path: Path) -> None:
    path = source_tree(tmp_path / "linux", "4.8")
    (path / ".config").touch()
    (path / "kernel/kprobes.o").touch()
    (path / "include/generated").mkdir(parents=True)
    (path / "include/generated/autoconf.h").touch()
    (path / ".git").mkdir()
    opened = tree.opened(path, ignore)
    assert not opened.clean
    copied = tmp_path / "copy"
    tree.copy(opened, copied, ignore)
    assert tree.opened(copied, ignore).clean
    assert digest(copied) == opened.digest
    assert not (copied / ".git").exists()
    assert not (copied / "kernel/kprobes.o").exists()
    assert (path / "kernel/kprobes.o").exists()
