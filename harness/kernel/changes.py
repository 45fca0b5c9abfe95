# SPDX-License-Identifier: GPL-2.0-only
"""A tree at a revision, or with a user's changes, always as a copy."""

from __future__ import annotations

import re
from pathlib import Path

from harness import blame, cache, tool
from harness.errors import ConfigError, UnfitTree
from harness.kernel import tree
from harness.kernel.apt import Progress
from harness.kernel.tree import Tree
from harness.model.policy import NO_CHANGES, Changes

GIT_SECONDS = 600
# Where arm64 keeps the macros of its jprobes.
_HEADERS = ("arch/arm64/include/asm/kprobes.h", "arch/arm64/kernel")


def _git(path: Path, *words: str) -> str:
    """What git says, empty where it fails."""
    done = tool.run(["git", "-C", path, *words], seconds=GIT_SECONDS)
    return done.stdout.strip() if done.returncode == 0 else ""


def at_revision(path: Path, revision: str, report: Progress) -> Tree:
    """The sources of a git repository, bare or not, at a revision."""
    digest = _git(path, "rev-parse", "--verify", "--quiet", f"{revision}^{{tree}}")
    if not digest:
        raise ConfigError(
            f"{path} has no revision '{revision}'.", f"See: git -C {path} log --oneline"
        )

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

    source = tree.cached(digest, fill)
    if not tree.is_source(source.path):
        raise ConfigError(f"{path} at {revision} is not a kernel's source tree.")
    return source


def changed(source: Tree, changes: Changes, report: Progress) -> Tree:
    """
    The tree with patches and settings applied.

    Raises ConfigError for a patch that cannot be read, and UnfitTree for one that
    does not apply, or a macro that the tree does not have.
    """
    if changes == NO_CHANGES:
        return source
    patches = [Path(name).expanduser().resolve() for name in changes.patches]
    try:
        texts = [patch.read_bytes() for patch in patches]
    except OSError as error:
        raise blame.unreadable(Path(error.filename), error) from error
    digest = cache.digest(source.digest, *texts, *changes.settings)

    def fill(folder: Path) -> None:
        tree.copy(source, folder, report)
        for patch in patches:
            _apply(patch, folder)
        for setting in changes.settings:
            _set(setting, folder)

    return tree.cached(digest, fill)


def _apply(patch: Path, folder: Path) -> None:
    done = tool.run(
        ["git", "-C", folder, "apply", "--whitespace=nowarn", patch],
        # Not a part of a repository that the cache may lie in.
        environment={"GIT_CEILING_DIRECTORIES": str(folder.parent)},
        seconds=GIT_SECONDS,
    )
    if done.returncode == 0:
        return
    blame.check("git", done.returncode, done.stderr)
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
    if not re.fullmatch(r"\w+", name) or not value:
        raise ConfigError(f"'{setting}' sets nothing.", "Give NAME=VALUE.")
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
