# SPDX-License-Identifier: GPL-2.0-only
"""
A kernel's source tree, which is read and never written to.

What a tree can do is derived from its own files and not from a list of releases, so that
an unknown tree is treated like any other.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from harness.errors import ConfigError, InfrastructureError
from harness.host import cache, given, inventory, tool
from harness.steps import progress

# Left by a build in the tree itself; with these in it, a build with O= refuses the tree.
_PRODUCTS = (".config", "include/config", "include/generated", "arch/arm64/include/generated")
_OBJECT = re.compile(r".*\.(o|ko|cmd|a|order|mod|symvers)$|vmlinux$|System\.map$")
# Files that every kernel's sources have.
MARKS = ("Makefile", "Kconfig", "kernel/kprobes.c")
# Files that a build may read; any other file that this user cannot read, such as a signing
# key, is left out.
_SOURCE = re.compile(r".*\.([chsS]|dtsi?|lds|sh|pl|py|awk|y|l|tbl)$|Makefile|Kbuild|Kconfig")
COPY_SECONDS = 900
# Each copy has up to 2 GB.
COPIES_KEPT = 6
# The files of a copy that are read whenever a kernel of it is asked for.
VITAL = (
    "linux/Makefile", "linux/Kconfig", "linux/kernel/kprobes.c", "linux/include/linux/kprobes.h",
    "linux/arch/arm64/Makefile", "linux/arch/arm64/configs/*", "linux/arch/arm64/kernel/*",
    "linux/arch/arm64/include/asm/kprobes.h",
)  # fmt: skip


def is_source(path: Path) -> bool:
    """Return whether a folder holds a kernel's sources."""
    return all((path / name).is_file() for name in MARKS)


def is_output(path: Path) -> bool:
    """Return whether a folder is the output folder of a kernel's build (make O=)."""
    return not is_source(path) and (path / ".config").is_file() and (path / "Makefile").is_file()


@dataclass(frozen=True)
class Tree:
    """The sources of one kernel."""

    path: Path
    # A hash of the content.
    digest: str

    @property
    def version(self) -> tuple[int, int]:
        """VERSION and PATCHLEVEL of its Makefile; raises ConfigError."""
        text = given.read(self.path / "Makefile", given.MIB).decode(errors="replace")
        found = dict(re.findall(r"^(VERSION|PATCHLEVEL) *= *(\d{1,9})", text, re.MULTILINE))
        if len(found) != 2:
            raise ConfigError(f"{self.path}/Makefile does not say which kernel it is of.")
        return int(found["VERSION"]), int(found["PATCHLEVEL"])

    @property
    def clean(self) -> bool:
        """Whether nothing was built in it."""
        return not any((self.path / name).exists() for name in _PRODUCTS)


def check(path: Path) -> None:
    """Raise ConfigError for sources that do not support arm64."""
    if not (path / "arch/arm64/Makefile").is_file():
        raise ConfigError(f"{path} has no arch/arm64.", "Give a tree of Linux for arm64.")


def opened(path: Path) -> Tree:
    """Return the tree at `path`; raise ConfigError if it is not one for arm64."""
    check(path)
    return Tree(path, _digest(path))


def _files(path: Path) -> Iterator[os.DirEntry[str]]:
    """
    Yield all files and links, except git's own and those that a build left, in no order.

    Raises ConfigError for sources that cannot be read.
    """
    stack = [str(path)]
    while stack:
        for entry in _listed(stack.pop()):
            if entry.name == ".git":
                continue
            if entry.is_dir(follow_symlinks=False):
                if os.path.relpath(entry.path, path) not in _PRODUCTS:
                    stack.append(entry.path)
            elif not _left_by_a_build(entry, path) and _can_be_read(entry):
                yield entry


def _listed(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except PermissionError as error:
        raise _unreadable(folder) from error


def _can_be_read(entry: os.DirEntry[str]) -> bool:
    """
    Return whether a file or link is to be read.

    A pipe would block for ever, and a device or a socket is no source.  Raises ConfigError for
    a source without permission.
    """
    if entry.is_symlink():
        return True
    if not entry.is_file():
        return False
    if os.access(entry.path, os.R_OK):
        return True
    if _SOURCE.match(entry.name):
        raise _unreadable(entry.path)
    return False


def _unreadable(path: str) -> ConfigError:
    return ConfigError(f"{path} cannot be read: permission denied.", "Give this user the right to.")


def _left_by_a_build(entry: os.DirEntry[str], root: Path) -> bool:
    return bool(_OBJECT.match(entry.name)) or os.path.relpath(entry.path, root) in _PRODUCTS


def _digest(path: Path) -> str:
    """Return a hash of all content, which is read only if a file's metadata has changed."""
    entries = sorted(_files(path), key=lambda entry: entry.path)
    looks = [(entry.path, entry.stat(follow_symlinks=False)) for entry in entries]
    return cache.remembered(looks, lambda: _content(path, entries))


def _content(path: Path, entries: Sequence[os.DirEntry[str]]) -> str:
    what = f"reading {path}"
    content = hashlib.blake2b(digest_size=10)
    for number, entry in enumerate(entries):
        if number % 1000 == 0:
            progress(what, 100 * number / len(entries))
        name = os.path.relpath(entry.path, path)
        mode = entry.stat(follow_symlinks=False).st_mode & 0o100
        with _data(entry) as stream:
            size = stream.seek(0, os.SEEK_END)
            content.update(b"%s:%o:%d:" % (os.fsencode(name), mode, size))
            stream.seek(0)
            # In pieces, as a user may keep a disk image or a core dump there.
            while piece := stream.read(given.MIB):
                content.update(piece)
    progress(what, 100)
    return content.hexdigest()


def _data(entry: os.DirEntry[str]) -> BinaryIO:
    """Open a file's content, or a link's target path as content."""
    if entry.is_symlink():
        return io.BytesIO(inventory.link_target(entry.path))
    return open(entry.path, "rb")


def copy(tree: Tree, folder: Path) -> None:
    """
    Copy a tree to `folder`, without git's own files and without the products of a build.

    Raises InfrastructureError, and DamagedEntry where a tree in the cache is damaged.
    """
    progress(f"copying {tree.path}", 0)
    cache.check(*cache.containing(tree.path))
    keep = {os.path.relpath(entry.path, tree.path) for entry in _files(tree.path)}
    # It may fail for files that are not needed, and copies the others all the same.
    done = tool.run(
        ["cp", "--archive", "--reflink=auto", "--no-target-directory", tree.path, folder],
        seconds=COPY_SECONDS,
    )
    shutil.rmtree(folder / ".git", ignore_errors=True)
    for place, folders, names in os.walk(folder):
        # os.walk() lists a link to a folder among the folders.
        for name in (*names, *(name for name in folders if Path(place, name).is_symlink())):
            file = Path(place, name)
            relative = str(file.relative_to(folder))
            if relative in keep:
                keep.remove(relative)
            elif not (tree.clean and file.is_file()):
                file.unlink()
    if keep:
        raise InfrastructureError(
            f"{tree.path} cannot be copied: {done.stderr.strip()[-300:] or min(keep)}.",
            f"Make room in {folder.parent}, or set XDG_CACHE_HOME to another disk.",
        )
    for name in _PRODUCTS:
        shutil.rmtree(folder / name, ignore_errors=True)
    progress(f"copying {tree.path}", 100)


def cached(digest: str, fill: Callable[[Path], None]) -> Tree:
    """Return a tree in the cache, which `fill(folder)` makes if it is not there."""

    def make(folder: Path) -> None:
        fill(folder / "linux")

    folder = cache.used(cache.entry("sources", digest, make, vital=VITAL))
    cache.trim("sources", COPIES_KEPT)
    return Tree(folder / "linux", digest)
