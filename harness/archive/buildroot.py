# SPDX-License-Identifier: GPL-2.0-only
"""
A root file system of another Debian suite, for programs that this machine cannot run.

mmdebstrap makes it and bubblewrap runs in it; an ordinary user may do both.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.archive import bubblewrap, plain
from harness.archive.apt import accepts_expired, explain, in_suites
from harness.host import cache, tool
from harness.settings import Archive
from harness.steps import progress

MAKE_SECONDS = 1800
# About how many lines of progress mmdebstrap prints.
_STEPS = 10
_LINKS = ("bin", "sbin", "lib", "lib64")
# The files that are checked at each use; mend() checks all of them before a build.
VITAL = ("root/usr/bin/make", "root/usr/bin/dash")


@dataclass(frozen=True)
class BuildRoot:
    """A root file system of a suite with some packages; made on first use, then cached."""

    # The suites; if empty, those of the configuration or of the machine.
    suites: tuple[str, ...]
    packages: tuple[str, ...]
    archive: Archive

    @property
    def key(self) -> str:
        return cache.digest(*self.suites, *self.packages)

    def make(self) -> Path:
        """Return the root's folder, and make it first if needed; raise ArchiveError."""
        return self._entry() / "root"

    def mend(self) -> None:
        """
        Check all files of the root, and make it anew if any is damaged.

        Raises InfrastructureError where that does not help, and ArchiveError.
        """
        try:
            cache.check(self._entry())
        except cache.DamagedEntry:
            cache.check(self._entry())

    def _entry(self) -> Path:
        return cache.entry("buildroots", self.key, lambda folder: self._make(folder), vital=VITAL)

    def _make(self, folder: Path) -> None:
        sources = in_suites(self.archive, self.suites).sources
        suite = sources[0].suites[0]
        what = f"making a build root of {suite}"
        progress(what, 0)
        lines = [
            f"deb [signed-by={source.keyring}] {source.uri} {name} main"
            for source in sources
            for name in source.suites
        ]
        expired = ['--aptopt=Acquire::Check-Valid-Until "false"']
        status = tool.follow(
            [
                "mmdebstrap", "--variant=essential", "--format=tar",
                *(expired if accepts_expired(self.archive) else []),
                f"--include={','.join(self.packages)}",
                suite, folder / "root.tar", *lines,
            ],
            log=folder / "log",
            on_line=tool.steps("I: ", _STEPS, lambda percent: progress(what, percent)),
            seconds=MAKE_SECONDS,
        )  # fmt: skip
        if status:
            raise explain("make a build root", (folder / "log").read_text(errors="replace"))
        (folder / "root").mkdir()
        # Only root can make device nodes, and bubblewrap provides its own.
        tool.check(
            [
                "tar", "--extract", "--file", folder / "root.tar", "--directory", folder / "root",
                "--no-same-owner", "--exclude=./dev",
            ]
        )  # fmt: skip
        (folder / "root.tar").unlink()
        progress(what, 100)


def command(
    root: Path, words: Sequence[str | Path], *, readable: Sequence[Path], writable: Sequence[Path]
) -> list[str | Path]:
    """
    Return the command that runs `words` in `root`.

    It sees the machine's folders in `readable` and `writable`, by their plain.name().
    """
    shown: list[str | Path] = [
        "--ro-bind", root / "usr", "/usr",
        "--ro-bind", root / "etc", "/etc",
        "--ro-bind", root / "var", "/var",
        *(word for name in _LINKS for word in ("--symlink", f"usr/{name}", f"/{name}")),
        "--proc", "/proc",
        "--dev", "/dev",
        "--tmpfs", "/tmp",  # noqa: S108 - not the machine's
        *(word for path in readable for word in ("--ro-bind", path, plain.name(path))),
        *(word for path in writable for word in ("--bind", path, plain.name(path))),
        "--chdir", "/",
        "--unshare-net", "--unshare-pid", "--die-with-parent",
        "--setenv", "PATH", os.defpath,
        "--setenv", "TMPDIR", "/tmp",  # noqa: S108 - not the machine's
        *words,
    ]  # fmt: skip
    return bubblewrap.command(shown)
