# SPDX-License-Identifier: GPL-2.0-only
"""arm64 programs for guests, from the machine's own suites for any kernel."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from harness.archive.apt import Apt, in_suites, unpack
from harness.errors import ArchiveError, ConfigError
from harness.host import cache
from harness.settings import Archive

ARCHITECTURE = "arm64"
BUSYBOX = "busybox-static"
_ELF = b"\x7fELF"


def busybox(archive: Archive) -> Path:
    """Return the path of an arm64 busybox, which every guest has."""
    return find(fetch([BUSYBOX], archive), "busybox")


def find(root: Path, name: str) -> Path:
    """
    Return the path of the program `name` in unpacked packages, wherever a release keeps it.

    Raises ArchiveError if there is none.
    """
    # Manual pages and completions have the program's name, too.
    for path in sorted(root.rglob(name)):
        if path.is_file() and path.read_bytes()[: len(_ELF)] == _ELF:
            return path
    raise ArchiveError(
        f"None of the packages has the program {name}.",
        "They may have changed: see the recipe in images/ that asks for it.",
    )


def fetch(packages: Sequence[str], archive: Archive) -> Path:
    """Return a folder with the packages unpacked, from the cache or the archive."""
    sources = (f"{source.uri} {source.suites}" for source in archive.sources)
    key = cache.digest(*packages, "", *sources)

    def make(folder: Path) -> None:
        apt = Apt(folder / "apt", in_suites(archive, []), ARCHITECTURE)
        apt.folder.mkdir()
        apt.update()
        for package in packages:
            _download(apt, package, folder)
        shutil.rmtree(apt.folder)

    return cache.entry("programs", key, make) / "root"


def _download(apt: Apt, name: str, folder: Path) -> None:
    """Download and unpack the newest version of a package whose file the archive still has."""
    failure: ArchiveError | None = None
    for package in apt.versions(f"{name}:{ARCHITECTURE}"):
        try:
            for file in apt.download([package], folder):
                unpack(file, folder / "root")
                file.unlink()
            return
        except ArchiveError as error:
            failure = failure or error
    raise failure or ArchiveError(f"The archive has no {name} for {ARCHITECTURE}.")


def libraries(root: Path, program: Path) -> dict[str, Path]:
    """
    Return by file name the shared libraries that a program needs, directly or indirectly.

    Raises ConfigError if one is not in the packages of `root`.
    """
    found: dict[str, Path] = {}
    names = _needed(program)
    while names:
        name = names.pop()
        if name in found:
            continue
        places = [path for path in root.glob(f"**/lib/**/{name}") if path.exists()]
        if not places:
            raise ConfigError(
                f"{program.name} needs {name}, which none of its recipe's packages has.",
                "Add the package to the recipe.",
            )
        found[name] = places[0]
        names += _needed(places[0])
    return found


def _needed(program: Path) -> list[str]:
    """Return the names in a program's DT_NEEDED entries."""
    # Imported here, since it takes long and only some guests need it.
    from elftools.elf.dynamic import DynamicSection
    from elftools.elf.elffile import ELFFile

    with program.open("rb") as file:
        section = ELFFile(file).get_section_by_name(".dynamic")
        tags = section.iter_tags("DT_NEEDED") if isinstance(section, DynamicSection) else ()
        return [tag.needed for tag in tags]  # type: ignore[attr-defined]
