# SPDX-License-Identifier: GPL-2.0-only
"""Copies of a source tree at a revision, or with a user's changes."""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path

from harness.errors import ConfigError, UnfitTree
from harness.host import cache, tool
from harness.kernel import patches, tree
from harness.kernel.tree import Tree
from harness.model.policy import NO_CHANGES, Changes
from harness.steps import progress

GIT_SECONDS = 600
_SETTING = re.compile(r"\w+=.+", re.DOTALL)
# Where arm64 keeps the macros of its jprobes.
_HEADERS = ("arch/arm64/include/asm/kprobes.h", "arch/arm64/kernel")


# Files as git stores them, whatever conversions the user or the machine configured.
# The rest of the user's configuration applies: it has, for one, the owners to trust.
_AS_STORED = (
    "--no-replace-objects",
    "-c", "core.autocrlf=false", "-c", "core.eol=lf", "-c", f"core.attributesFile={os.devnull}",
)  # fmt: skip
_NO_ATTRIBUTES = {"GIT_ATTR_NOSYSTEM": "1"}
# What git prints for a name that it does not know.
_UNKNOWN = "Needed a single revision"


def is_repository(path: Path) -> bool:
    """Return whether a folder looks like a git repository, bare or not."""
    return (path / ".git").exists() or ((path / "HEAD").is_file() and (path / "objects").is_dir())


def _git(path: Path, *words: str) -> str:
    """Run git in a repository and return its output; raise ConfigError with git's message."""
    done = tool.run(["git", "-C", path, *words], seconds=GIT_SECONDS)
    if done.returncode == 0:
        return done.stdout.strip()
    sentence, *more = [line.strip() for line in done.stderr.splitlines() if line.strip()] or [""]
    raise ConfigError(f"{path}: git says: {patches.detail(sentence)}.", " ".join(more))


def _tree(path: Path, revision: str) -> str:
    """Return the hash of a revision's tree; raise ConfigError."""
    _git(path, "rev-parse", "--git-dir")
    try:
        # In two steps, since ^{tree} cannot follow a name such as :/text.
        found = _git(path, "rev-parse", "--verify", "--end-of-options", revision)
        return _git(path, "rev-parse", "--verify", f"{found}^{{tree}}")
    except ConfigError as error:
        why = "" if _UNKNOWN in error.sentence else error.sentence.partition(": git says")[2]
        raise ConfigError(
            f"{path} has no revision '{revision}'{why.rstrip('.')}.",
            f"See: git -C {shlex.quote(str(path))} log --oneline",
        ) from error


def check_revision(path: Path, revision: str) -> str:
    """Return the hash of a kernel's sources at a revision; raise ConfigError if there are none."""
    digest = _tree(path, revision)
    found = _git(path, "ls-tree", "--full-tree", "--name-only", digest, *tree.MARKS).splitlines()
    if len(found) != len(tree.MARKS):
        raise ConfigError(f"{path} at {revision} is not a kernel's source tree.")
    return digest


def at_revision(path: Path, revision: str) -> Tree:
    """
    Return the sources of a git repository, bare or not, at a revision that git rev-parse accepts.

    Raises ConfigError.
    """
    digest = check_revision(path, revision)

    def fill(folder: Path) -> None:
        what = f"taking {path.name} at {revision}"
        progress(what, 0)
        archive = folder.with_name("archive.tar")
        tool.check(
            ["git", "-C", path, *_AS_STORED, "archive", f"--output={archive}", digest],
            environment=_NO_ATTRIBUTES,
            seconds=GIT_SECONDS,
        )
        folder.mkdir()
        tool.check(["tar", "-x", "-f", archive, "-C", folder], seconds=GIT_SECONDS)
        archive.unlink()
        progress(what, 100)

    # The options are part of the key, since other options write other bytes.
    return tree.cached(cache.digest(digest, *_AS_STORED), fill)


def changed(source: Tree, changes: Changes) -> Tree:
    """
    Return the tree with patches and settings applied.

    Raises ConfigError as check() does, and UnfitTree for a patch that does not apply
    or a macro that the tree does not have.
    """
    if changes == NO_CHANGES:
        return source
    check(changes)
    diffs = [diff for name in changes.patches for diff in patches.diffs(name)]
    digest = cache.digest(source.digest, *diffs, *changes.settings)

    def fill(folder: Path) -> None:
        tree.copy(source, folder)
        for name in changes.patches:
            patches.apply(name, folder)
        for setting in changes.settings:
            _set(setting, folder)

    return tree.cached(digest, fill)


def check(changes: Changes) -> None:
    """Raise ConfigError for a file that is no patch, or a setting that is not NAME=VALUE."""
    for name in changes.patches:
        patches.diffs(name)
    for setting in changes.settings:
        if not _SETTING.fullmatch(setting):
            raise ConfigError(f"'{setting}' sets nothing.", "Give NAME=VALUE.")


def _set(setting: str, folder: Path) -> None:
    """Give a macro of the tree another value, as the review of July 2016 did."""
    name, _, value = setting.partition("=")
    places = [folder / place for place in _HEADERS]
    files = [p for place in places for p in ([place] if place.is_file() else place.rglob("*.c"))]
    define = re.compile(rf"^(\s*#\s*define\s+{name}\s+)\S.*$", re.MULTILINE)
    for file in files:
        text = file.read_text(errors="surrogateescape")
        if define.search(text):
            file.write_text(define.sub(rf"\g<1>{value}", text), errors="surrogateescape")
            return
    raise UnfitTree(
        f"The tree does not define {name}.",
        "From v4.8 on arm64 copies nothing, and has no MAX_STACK_SIZE to set.",
    )
