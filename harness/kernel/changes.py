# SPDX-License-Identifier: GPL-2.0-only
"""A tree at a revision, or with a user's changes, always as a copy."""

from __future__ import annotations

import re
from pathlib import Path

from harness import cache, tool
from harness.errors import ConfigError, UnfitTree
from harness.kernel import given, tree
from harness.kernel.apt import Progress
from harness.kernel.tree import Tree
from harness.model.policy import NO_CHANGES, Changes

GIT_SECONDS = 600
_SETTING = re.compile(r"\w+=.+", re.DOTALL)
# Where arm64 keeps the macros of its jprobes.
_HEADERS = ("arch/arm64/include/asm/kprobes.h", "arch/arm64/kernel")


def _git(path: Path, *words: str) -> str:
    """What git says, empty where it fails."""
    done = tool.run(["git", "-C", path, *words], seconds=GIT_SECONDS)
    return done.stdout.strip() if done.returncode == 0 else ""


def check_revision(path: Path, revision: str) -> str:
    """The hash of the sources at a revision; raises ConfigError where there are none."""
    digest = _git(path, "rev-parse", "--verify", "--quiet", f"{revision}^{{tree}}")
    if not digest:
        raise ConfigError(
            f"{path} has no revision '{revision}'.", f"See: git -C {path} log --oneline"
        )
    found = _git(path, "ls-tree", "--full-tree", "--name-only", digest, *tree.MARKS).splitlines()
    if len(found) != len(tree.MARKS):
        raise ConfigError(f"{path} at {revision} is not a kernel's source tree.")
    return digest


def at_revision(path: Path, revision: str, report: Progress) -> Tree:
    """The sources of a git repository, bare or not, at a revision."""
    digest = check_revision(path, revision)

    def fill(folder: Path) -> None:
        what = f"taking {path.name} at {revision}"
        report(what, 0)
        archive = folder.with_name("archive.tar")
        tool.check(
            ["git", "-C", path, "archive", f"--output={archive}", digest], seconds=GIT_SECONDS
        )
        folder.mkdir()
        tool.check(["tar", "-x", "-f", archive, "-C", folder], seconds=GIT_SECONDS)
        archive.unlink()
        report(what, 100)

    return tree.cached(digest, fill)


def changed(source: Tree, changes: Changes, report: Progress) -> Tree:
    """
    The tree with patches and settings applied.

    Raises what check() does, and UnfitTree for a patch that does not apply, or a
    macro that the tree does not have.
    """
    if changes == NO_CHANGES:
        return source
    check(changes)
    patches = {name: given.patch(name) for name in changes.patches}
    digest = cache.digest(source.digest, *patches.values(), *changes.settings)

    def fill(folder: Path) -> None:
        tree.copy(source, folder, report)
        file = folder.with_name("patch")
        for name in changes.patches:
            file.write_bytes(patches[name])
            _apply(name, file, folder)
        for setting in changes.settings:
            _set(setting, folder)

    return tree.cached(digest, fill)


def check(changes: Changes) -> None:
    """Raise ConfigError for a patch that is none, or a setting that sets nothing."""
    for name in changes.patches:
        given.patch(name)
    for setting in changes.settings:
        if not _SETTING.fullmatch(setting):
            raise ConfigError(f"'{setting}' sets nothing.", "Give NAME=VALUE.")


def _apply(patch: str, file: Path, folder: Path) -> None:
    """Apply what a file has of a patch of the user's."""
    done = tool.run(
        ["git", "-C", folder, "apply", "--whitespace=nowarn", file],
        # Not a part of a repository that the cache may lie in.
        environment={"GIT_CEILING_DIRECTORIES": str(folder.parent)},
        seconds=GIT_SECONDS,
    )
    file.unlink()
    if done.returncode == 0:
        return
    if failed := re.search(r"patch failed: (.+):(\d+)", done.stderr):
        raise UnfitTree(
            f"{patch} does not apply: its hunk at line {failed[2]} of {failed[1]} finds"
            " other text.",
            "Rebase the patch on the tree that --kernel names.",
        )
    detail = re.sub(r"^(error|fatal): ", "", done.stderr.strip().splitlines()[0])
    raise UnfitTree(f"{patch} does not apply: {detail}.", "Give a patch made by git diff.")


def _set(setting: str, folder: Path) -> None:
    """Give a macro of the tree's another value, as the review did."""
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
