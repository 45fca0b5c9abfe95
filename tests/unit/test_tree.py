# SPDX-License-Identifier: GPL-2.0-only
"""Source trees: what they hold, when they are the same, and their copies."""

from __future__ import annotations

import errno
import os
import shutil
import socket
from pathlib import Path
from typing import Any

import pytest

from harness.errors import ConfigError, InfrastructureError
from harness.kernel import native, tree
from tests.unit.standin import source_tree


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def digest(path: Path) -> str:
    return tree.opened(path).digest


def test_what_a_folder_holds(tmp_path: Path) -> None:
    path = source_tree(tmp_path / "linux", "4.8")
    assert tree.is_source(path)
    assert not tree.is_output(path)
    assert tree.opened(path).version == (4, 8)
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
        tree.opened(path)


def test_contents_reports_trees_apart_and_nothing_else_does(tmp_path: Path) -> None:
    one = source_tree(tmp_path / "one", "4.8")
    other = source_tree(tmp_path / "other", "4.8")
    first = digest(one)
    assert digest(other) == first
    # Files that a build leaves in the tree do not count.
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
    opened = tree.opened(path)
    assert not opened.clean
    copied = tmp_path / "copy"
    tree.copy(opened, copied)
    assert tree.opened(copied).clean
    assert digest(copied) == opened.digest
    assert not (copied / ".git").exists()
    assert not (copied / "kernel/kprobes.o").exists()
    assert (path / "kernel/kprobes.o").exists()


def replace_cp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, then: str) -> None:
    """Put a cp first on PATH that does something after its work."""
    program = tmp_path / "bin/cp"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\n{shutil.which("cp")} "$@"\nfor to; do :; done\n{then}\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")


def test_what_is_no_file_is_no_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = source_tree(tmp_path / "linux", "4.8")
    first = digest(path)
    (path / "arch/arm64/kernel").mkdir()
    # Reading it would never end.
    os.mkfifo(path / "arch/arm64/kernel/pipe.c")
    monkeypatch.chdir(path)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket")
    (path / "link").symlink_to("nowhere")
    (path / "folder").symlink_to("kernel")
    opened = tree.opened(path)
    assert opened.digest != first
    for name in ("link", "folder"):
        (path / name).unlink()
    opened = tree.opened(path)
    assert opened.digest == first
    (path / "folder").symlink_to("kernel")
    # Another user may not make such files.
    replace_cp(tmp_path, monkeypatch, "rm $to/socket; exit 1")
    tree.copy(tree.opened(path), tmp_path / "copy")
    assert not (tmp_path / "copy/arch/arm64/kernel/pipe.c").exists()
    assert (tmp_path / "copy/folder").is_symlink()
    assert native.detect(opened) is None
    (path / "include/linux").mkdir(parents=True)
    (path / "include/linux/kprobes.h").write_text("int register_jprobe(struct jprobe *p);\n")
    assert native.detect(opened) is None


def test_a_copy_that_is_not_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = source_tree(tmp_path / "linux", "4.8")
    replace_cp(tmp_path, monkeypatch, "rm $to/Kconfig; echo 'No space left' >&2; exit 1")
    with pytest.raises(InfrastructureError, match=r"cannot be copied: No space left\."):
        tree.copy(tree.opened(path), tmp_path / "copy")


@pytest.fixture
def secret(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Return a set; files whose names are put in it cannot be read by this user."""
    names: set[str] = set()
    scandir = os.scandir

    def scanned(path: str) -> Any:
        if Path(path).name in names:
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr("os.access", lambda path, mode: Path(path).name not in names)
    monkeypatch.setattr("os.scandir", scanned)
    return names


def test_a_key_of_somebody_elses_is_not_missed(tmp_path: Path, secret: set[str]) -> None:
    path = source_tree(tmp_path / "linux", "4.8")
    first = digest(path)
    (path / "certs").mkdir()
    (path / "certs/mine.pem").write_text("key")
    secret.add("mine.pem")
    assert digest(path) == first


@pytest.mark.parametrize("name", ["kprobes.c", "Makefile", "kernel"])
def test_sources_of_somebody_elses(tmp_path: Path, secret: set[str], name: str) -> None:
    path = source_tree(tmp_path / "linux", "4.8")
    secret.add(name)
    with pytest.raises(ConfigError, match=rf"linux/.*{name} cannot be read: permission denied"):
        tree.opened(path)
