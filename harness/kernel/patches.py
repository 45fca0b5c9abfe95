# SPDX-License-Identifier: GPL-2.0-only
"""Reads a user's patches, which may be diffs or mail, and applies them to a tree."""

from __future__ import annotations

import functools
import os
import re
from pathlib import Path

from harness.errors import ConfigError, UnfitTree
from harness.host import blame, given, temporary, tool

# A release of the kernel has some 60 MiB of changes.
SIZE_MAX = 256 * given.MIB
_GIVE = "Give what git diff or git format-patch writes."
# Keeps the user's and the system's git configuration from having an effect.
_ALONE = {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull}


def detail(output: str) -> str:
    """Return git's first error message without its prefix."""
    first = next(iter(output.strip().splitlines()), "git printed nothing")
    return re.sub(r"^(error|fatal): ", "", first).rstrip(".")


def is_mail(text: bytes) -> bool:
    """Return whether a patch is a mail or a mailbox, whose body may be encoded."""
    head = re.split(rb"\r?\n\r?\n", text.lstrip(), maxsplit=1)[0]
    named = re.search(rb"^(From|Subject): ", head, re.MULTILINE)
    lines = re.sub(rb"^From .*\n", b"", head).splitlines()
    return bool(named) and all(re.match(rb"[!-9;-~]+:|[ \t]|>From ", line) for line in lines)


@functools.cache
def diffs(name: str) -> tuple[bytes, ...]:
    """
    Return the diffs of a file: one, or the decoded diff of each mail that has one.

    Raises ConfigError for a file that is no patch.
    """
    data = given.read_once(name, SIZE_MAX)
    with temporary.folder() as folder:
        (folder / "given").write_bytes(data)
        found = _from_mails(name, folder) if is_mail(data) else (data,)
        for diff in found:
            _check(name, diff, folder)
    return found


def _from_mails(name: str, folder: Path) -> tuple[bytes, ...]:
    mails = folder / "mails"
    mails.mkdir()
    split = tool.run(["git", "mailsplit", "-b", f"-o{mails}", folder / "given"], environment=_ALONE)
    blame.check("git", split.returncode, split.stderr)
    if split.returncode:
        raise ConfigError(f"{name} is not a mailbox: {detail(split.stderr)}.", _GIVE)
    found = []
    for mail in sorted(mails.iterdir()):
        diff = folder / "diff"
        read = 'git mailinfo --no-scissors --quoted-cr=strip "$1" "$2" <"$3"'
        done = tool.run(
            ["sh", "-c", read, "sh", folder / "message", diff, mail], environment=_ALONE
        )
        blame.check("git", done.returncode, done.stderr)
        if done.returncode:
            raise ConfigError(f"{name} is not mail: {detail(done.stderr)}.", _GIVE)
        # A cover letter has none, though it may list files.
        if re.search(rb"^(diff --git|---) ", diff.read_bytes(), re.MULTILINE):
            found.append(diff.read_bytes())
    if not found:
        raise ConfigError(f"{name} is not a patch: none of its mails has one.", _GIVE)
    return tuple(found)


def _git_apply(folder: Path, diff: Path, *words: str) -> str:
    """Return git apply's error output, empty where it succeeds; raise InfrastructureError."""
    done = tool.run(
        ["git", "-C", folder, "apply", *words, diff],
        # The folder may lie in a repository, to which the paths must not be relative.
        environment={**_ALONE, "GIT_CEILING_DIRECTORIES": str(folder.parent)},
    )
    blame.check("git", done.returncode, done.stderr)
    return done.stderr or "git printed nothing" if done.returncode else ""


def _check(name: str, diff: bytes, folder: Path) -> None:
    file = folder / "diff"
    file.write_bytes(diff)
    if complaint := _git_apply(folder, file, "--numstat"):
        why = re.sub(r" \(allow with .*\)$", "", detail(complaint)).replace(str(file), name)
        raise ConfigError(f"{name} is not a patch: {why}.", _GIVE)


def apply(name: str, folder: Path) -> None:
    """
    Apply a file's diffs to the tree in `folder`.

    Raises ConfigError as diffs() does, and UnfitTree for a diff that does not apply.
    """
    found = diffs(name)
    for number, diff in enumerate(found, start=1):
        which = f"{name} ({number} of its {len(found)} patches)" if len(found) > 1 else name
        with temporary.folder() as place:
            file = place / "diff"
            file.write_bytes(diff)
            complaint = _git_apply(folder, file, "--whitespace=nowarn")
        if failed := re.search(r"patch failed: (.+):(\d+)", complaint):
            raise UnfitTree(
                f"{which} does not apply: its hunk at line {failed[2]} of {failed[1]} finds"
                " other text.",
                "Rebase the patch on the tree that --kernel names.",
            )
        if complaint:
            raise UnfitTree(f"{which} does not apply: {detail(complaint)}.", _GIVE)
