# SPDX-License-Identifier: GPL-2.0-only
"""What is a patch, as a diff or as mail, and files that can be read once."""

from __future__ import annotations

import base64
import subprocess
from pathlib import Path

import pytest

from harness.errors import ConfigError, Exit
from harness.kernel import kconfig, patches
from tests.unit.standin import pipe

DIFF = """\
--- a/kernel/kprobes.c
+++ b/kernel/kprobes.c
@@ -1 +1 @@
-one
+two
"""
RENAME = """\
diff --git a/one.c b/other.c
similarity index 100%
rename from one.c
rename to other.c
"""
MAIL = f"""\
From 0123456789012345678901234567890123456789 Mon Sep 17 00:00:00 2001
From: Me <me@localhost>
Subject: [PATCH] kprobes: two

Why it is so.
---
 kernel/kprobes.c | 2 +-

{DIFF}-- \n2.39.0
"""
ENCODED = f"""\
From: Me <me@localhost>
Subject: [PATCH] kprobes: two
Content-Transfer-Encoding: base64

{base64.encodebytes(DIFF.encode()).decode()}"""


@pytest.mark.parametrize("text", [DIFF, RENAME])
def test_a_diff_is_taken_as_it_is(tmp_path: Path, text: str) -> None:
    file = tmp_path / "my.patch"
    file.write_text(text)
    assert patches.diffs(str(file)) == (text.encode(),)


@pytest.mark.parametrize(
    ("text", "count"), [(MAIL, 1), (MAIL + MAIL, 2), (ENCODED, 1), (MAIL.replace("\n", "\r\n"), 1)]
)
def test_mail_is_decoded(tmp_path: Path, text: str, count: int) -> None:
    file = tmp_path / "my.patch"
    file.write_bytes(text.encode())
    found = patches.diffs(str(file))
    assert len(found) == count
    assert all(DIFF.encode() in diff for diff in found)


@pytest.mark.parametrize(
    ("data", "detail"),
    [
        (b"", "No valid patches"),
        (b"Dear all,\n\nplease apply.\n", "No valid patches"),
        (bytes(range(256)) * 9, "No valid patches"),
        (DIFF.replace("@@ -1 +1 @@", "@@ -1,7 +1,7 @@").encode(), "corrupt patch at"),
    ],
)
def test_what_is_none(tmp_path: Path, data: bytes, detail: str) -> None:
    file = tmp_path / "my.patch"
    file.write_bytes(data)
    with pytest.raises(ConfigError, match=rf"/my\.patch is not a patch: {detail}") as caught:
        patches.diffs(str(file))
    assert caught.value.exit_status is Exit.USAGE
    assert "jprobe-" not in caught.value.sentence


def test_a_patch_is_looked_at_in_a_repository_of_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The repository has no effect, as it is not the tree."""
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    folder = tmp_path / "folder"
    folder.mkdir()
    monkeypatch.chdir(folder)
    (folder / "my.patch").write_text(DIFF)
    assert patches.diffs("my.patch") == (DIFF.encode(),)


def test_what_cannot_be_read(tmp_path: Path) -> None:
    for name in (str(tmp_path), str(tmp_path / "none")):
        with pytest.raises(ConfigError, match=f"{name}: cannot be read"):
            patches.diffs(name)


def test_a_fragment_comes_through_a_pipe(tmp_path: Path) -> None:
    fragment = pipe(tmp_path, "CONFIG_PREEMPT=y\n")
    assert kconfig.read(fragment) == kconfig.read(fragment) == {"CONFIG_PREEMPT": "y"}
