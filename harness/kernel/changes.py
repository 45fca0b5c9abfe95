# SPDX-License-Identifier: GPL-2.0-only
"""A tree at a revision, or with a user's changes, always as a copy."""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path

from harness import cache, home, tool
from harness.errors import ConfigError, UnfitTree
from harness.kernel import tree
from harness.kernel.apt import Progress
from harness.kernel.tree import Tree
from harness.model.policy import NO_CHANGES, Changes

GIT_SECONDS = 600
# Where arm64 keeps the macros of its jprobes.
_HEADERS = ("arch/arm64/include/asm/kprobes.h", "arch/arm64/kernel")


# Files as their hash names them, whatever the user or the machine likes in a checkout.
# The rest of the user's configuration holds, as it says which owners to trust.
_AS_STORED = (
    "--no-replace-objects",
    "-c", "core.autocrlf=false", "-c", "core.eol=lf", "-c", f"core.attributesFile={os.devnull}",
)  # fmt: skip
_NO_ATTRIBUTES = {"GIT_ATTR_NOSYSTEM": "1"}
# For what has to do with no repository of the user's.
_NO_SETTINGS = {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull}
_GIVE = "Give a patch made by git diff or git format-patch."
# git's words for a name that it has nothing for.
_UNKNOWN = "Needed a single revision"


def is_repository(path: Path) -> bool:
    """Whether it looks like one of git's, bare or not."""
    return (path / ".git").exists() or ((path / "HEAD").is_file() and (path / "objects").is_dir())


def _git(path: Path, *words: str) -> str:
    """What git says of a repository; raises ConfigError with git's own sentence."""
    done = tool.run(["git", "-C", path, *words], seconds=GIT_SECONDS)
    if done.returncode == 0:
        return done.stdout.strip()
    sentence, *more = [line.strip() for line in done.stderr.splitlines() if line.strip()] or [""]
    raise ConfigError(f"{path}: git says: {_detail(sentence)}.", " ".join(more))


def _tree(path: Path, revision: str) -> str:
    """The hash of a revision's tree; a name such as :/text takes no ^{tree} after it."""
    _git(path, "rev-parse", "--git-dir")
    try:
        found = _git(path, "rev-parse", "--verify", "--end-of-options", revision)
        return _git(path, "rev-parse", "--verify", f"{found}^{{tree}}")
    except ConfigError as error:
        why = "" if _UNKNOWN in error.sentence else error.sentence.partition(": git says")[2]
        raise ConfigError(
            f"{path} has no revision '{revision}'{why.rstrip('.')}.",
            f"See: git -C {shlex.quote(str(path))} log --oneline",
        ) from error


def at_revision(path: Path, revision: str, report: Progress) -> Tree:
    """
    The sources of a git repository, bare or not, at whatever git rev-parse takes.

    Raises ConfigError.
    """
    digest = _tree(path, revision)

    def fill(folder: Path) -> None:
        what = f"taking {path.name} at {revision}"
        report(what, 0)
        archive = folder.with_name("archive.tar")
        tool.check(
            ["git", "-C", path, *_AS_STORED, "archive", f"--output={archive}", digest],
            environment=_NO_ATTRIBUTES,
            seconds=GIT_SECONDS,
        )
        folder.mkdir()
        tool.check(["tar", "-x", "-f", archive, "-C", folder], seconds=GIT_SECONDS)
        archive.unlink()
        report(what, 100)

    # What went before may have stored it another way.
    source = tree.cached(cache.digest(digest, *_AS_STORED), fill)
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
    patches = [home.expanded(name) for name in changes.patches]
    try:
        texts = [patch.read_bytes() for patch in patches]
    except OSError as error:
        raise ConfigError(f"{error.filename}: cannot be read: {error.strerror}.") from error
    digest = cache.digest(source.digest, Path(__file__).read_bytes(), *texts, *changes.settings)

    def fill(folder: Path) -> None:
        tree.copy(source, folder, report)
        for patch, text in zip(patches, texts):
            _apply(patch, text, folder)
        for setting in changes.settings:
            _set(setting, folder)

    return tree.cached(digest, fill)


def is_mail(text: bytes) -> bool:
    """Whether a patch comes as a mail or a mailbox, whose body may be encoded."""
    head = re.split(rb"\r?\n\r?\n", text.lstrip(), maxsplit=1)[0]
    named = re.search(rb"^(From|Subject): ", head, re.MULTILINE)
    lines = re.sub(rb"^From .*\n", b"", head).splitlines()
    return bool(named) and all(re.match(rb"[!-9;-~]+:|[ \t]|>From ", line) for line in lines)


def _from_mails(patch: Path, folder: Path) -> list[Path]:
    """The patch of each mail that has one, decoded, in `folder`."""
    split = tool.run(["git", "mailsplit", "-b", f"-o{folder}", patch], environment=_NO_SETTINGS)
    if split.returncode:
        raise UnfitTree(f"{patch} does not apply: {_detail(split.stderr)}.", _GIVE)
    patches = []
    for mail in sorted(path for path in folder.iterdir() if path.name.isdecimal()):
        diff = mail.with_suffix(".diff")
        read = 'git mailinfo --no-scissors --quoted-cr=strip "$1" "$2" <"$3"'
        done = tool.run(
            ["sh", "-c", read, "sh", folder / "message", diff, mail], environment=_NO_SETTINGS
        )
        if done.returncode:
            raise UnfitTree(f"{patch} does not apply: {_detail(done.stderr)}.", _GIVE)
        # A cover letter has none, though it may list files.
        if re.search(rb"^(diff --git|---) ", diff.read_bytes(), re.MULTILINE):
            patches.append(diff)
    if not patches:
        raise UnfitTree(f"{patch} does not apply: none of its mails has a patch.", _GIVE)
    return patches


def _apply(patch: Path, text: bytes, folder: Path) -> None:
    """Apply a diff, or what a mailbox has of them."""
    if not is_mail(text):
        _apply_diff(patch, str(patch), folder)
        return
    with cache.scratch(folder.parent) as mails:
        patches = _from_mails(patch, mails)
        for number, diff in enumerate(patches, start=1):
            which = f" ({number} of its {len(patches)} patches)" if len(patches) > 1 else ""
            _apply_diff(diff, f"{patch}{which}", folder)


def _detail(output: str) -> str:
    """The first complaint of git's."""
    first = next(iter(output.strip().splitlines()), "git says nothing")
    return re.sub(r"^(error|fatal): ", "", first).rstrip(".")


def _apply_diff(patch: Path, name: str, folder: Path) -> None:
    done = tool.run(
        ["git", "-C", folder, "apply", "--whitespace=nowarn", patch],
        # Not a part of a repository that the cache may lie in.
        environment={**_NO_SETTINGS, "GIT_CEILING_DIRECTORIES": str(folder.parent)},
        seconds=GIT_SECONDS,
    )
    if done.returncode == 0:
        return
    if failed := re.search(r"patch failed: (.+):(\d+)", done.stderr):
        raise UnfitTree(
            f"{name} does not apply: its hunk at line {failed[2]} of {failed[1]} finds other text.",
            "Rebase the patch on the tree that --kernel names.",
        )
    raise UnfitTree(f"{name} does not apply: {_detail(done.stderr)}.", _GIVE)


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
