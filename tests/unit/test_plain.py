# SPDX-License-Identifier: GPL-2.0-only
"""Folders that a build uses under another name."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from harness.archive import bubblewrap, buildroot, plain
from harness.errors import ConfigError, Exit

ODD = ["a b", "a,b", "a:b", "a%b", "a#b", "it's", 'a"b', "a\\b", "$HOME", "a=b", "a;b", "a\nb"]


@pytest.mark.parametrize("name", ODD)
def test_make_can_work_in_any_folder(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name / "plain"
    folder.mkdir(parents=True)
    (folder / "Makefile").write_text("all:\n\techo $(words $(M)) > $(M)/made\n")
    place = plain.name(folder)
    words = plain.command(["make", "-s", "-C", place, f"M={place}"], [folder])
    subprocess.run([*map(str, words)], check=True)
    assert (folder / "made").read_text() == "1\n"
    assert not plain.is_plain(folder)


@pytest.mark.parametrize("name", ["plain", "a b"])
def test_temporary_files_have_plain_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """usr/gen_initramfs.sh of the kernel makes such files."""
    folder = tmp_path / name
    folder.mkdir()
    (tmp_path / "my tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "my tmp"))
    words = plain.command(["sh", "-c", "mktemp $TMPDIR/cpiolist.XXXXXX"], [tmp_path, folder])
    subprocess.run([*map(str, words)], check=True)
    assert [path.name[:8] for path in folder.iterdir()] == ["cpiolist"]
    assert plain.command(["gcc", "--version"], []) == ["gcc", "--version"]


def test_a_link_with_a_plain_name_is_followed(tmp_path: Path) -> None:
    """make does so, as it asks the system for the name of its own folder."""
    (tmp_path / "a b").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "a b")
    assert plain.name(tmp_path / "link") == plain.name(tmp_path / "a b") != tmp_path / "link"


@pytest.mark.parametrize("name", ["plain", "é", "a-b_c.d+e@f~g"])
def test_a_plain_folder_is_left_alone(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    folder.mkdir()
    assert plain.name(folder) == folder
    assert plain.command(["make"], [folder]) == ["make"]
    plain.check(folder)


def test_a_build_root_has_the_same_names(tmp_path: Path) -> None:
    odd = tmp_path / "a b"
    words = buildroot.command(tmp_path, ["make"], readable=[odd], writable=[odd])
    assert [words[n + 1] for n, word in enumerate(words) if word == odd] == [plain.name(odd)] * 2


def test_nothing_begins_where_nothing_can_be_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match="bwrap is not installed") as caught:
        plain.check(tmp_path / "a b")
    assert caught.value.exit_status is Exit.USAGE
    # Outside a chroot, the build is started by another program.
    table = tmp_path / "mountinfo"
    table.write_text("27 1 254:0 / / rw - ext4 /dev/vda rw\n")
    monkeypatch.setattr(bubblewrap, "_MOUNTS", table)
    program = tmp_path / "bwrap"
    program.write_text("#!/bin/sh\necho 'bwrap: No permissions' >&2\nexit 1\n")
    program.chmod(0o755)
    with pytest.raises(ConfigError, match="make cannot take: bwrap: No permissions"):
        plain.check(tmp_path / "a b")
