# SPDX-License-Identifier: GPL-2.0-only
"""
Names that a build can use for folders whose own names it cannot.

Kbuild refuses a path with a space or a colon; more characters have a meaning to make,
to the shell and to gcc's -Wp.  A build below such a folder runs in a bubblewrap, which
shows that folder under a plain name in addition to the machine's own file system.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from harness.archive import bubblewrap
from harness.errors import ConfigError, InfrastructureError
from harness.host import cache, tool

_PLAIN = re.compile(r"[\w.+@~-]*")


def _odd(path: Path) -> Path | None:
    """Return the path up to its last name that is not plain, or None if all names are."""
    real = path.resolve()
    return next((p for p in (real, *real.parents) if not _PLAIN.fullmatch(p.name)), None)


def is_plain(path: Path) -> bool:
    """Return whether a build can use the path as it is."""
    return _odd(path) is None


def name(path: Path) -> Path:
    """Return the path by which a build that command() starts must refer to `path`."""
    odd = _odd(path)
    if odd is None:
        return path
    return Path(f"/jprobe-{cache.digest(os.fsencode(odd))}") / path.resolve().relative_to(odd)


def _machine() -> Iterator[str]:
    """Yield bubblewrap's options for everything in the root directory, at its own place."""
    with os.scandir("/") as entries:
        for entry in entries:
            if entry.is_symlink():
                yield from ("--symlink", str(Path(entry.path).readlink()), entry.path)
            elif entry.is_dir():
                yield from ("--dev-bind-try", entry.path, entry.path)


def command(words: Sequence[str | Path], folders: Sequence[Path]) -> list[str | Path]:
    """
    Return the command that runs `words`, which may use the name() of paths below `folders`.

    Some of the kernel's scripts do not quote the names of their temporary files, so where
    TMPDIR is not plain these go to the last of the folders.
    """
    odd = {part for folder in folders if (part := _odd(folder))}
    words = list(words)
    if folders and not is_plain(Path(os.environ.get("TMPDIR", "/"))):
        words = ["env", f"TMPDIR={name(folders[-1])}", *words]
    if not odd:
        return words
    binds = [word for part in sorted(odd) for word in ("--bind", part, name(part))]
    return bubblewrap.command([*_machine(), *binds, "--die-with-parent", *words])


def check(folder: Path) -> None:
    """Raise ConfigError where nothing can be built below a folder."""
    if is_plain(folder):
        return
    try:
        done = tool.run(command(["true"], [folder]))
        why = done.stderr.strip().rstrip(".")
    except InfrastructureError as error:
        why = error.sentence.rstrip(".")
    if why:
        raise ConfigError(
            f"Nothing can be built below {folder}, whose path make cannot take: {why}.",
            "Give it a path of letters and digits (XDG_CACHE_HOME is the cache's), or install"
            " bubblewrap: jprobe-harness doctor --install --extra",
        )
