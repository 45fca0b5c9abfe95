# SPDX-License-Identifier: GPL-2.0-only
"""
What guests' root file systems have beside the modules: the folders of images/.

What lies in such a folder lies in the guest at the same path; recipe.yaml says
what else it needs.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from harness import resources, settings
from harness.archive import programs
from harness.archive.apt import Progress
from harness.host import cache, yamlfile

_NEEDS = "recipe.yaml"


class Needs(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """recipe.yaml"""

    # The kernel's own modules, or options of the same names.
    drivers: list[str] = []
    # Debian's, for arm64; theirs are the programs, with whatever they are linked with.
    packages: list[str] = []
    # By name in the packages: the path in the guest.
    programs: dict[str, str] = {}


@dataclass(frozen=True)
class Recipe:
    """One folder of images/, or several put together."""

    # By path in the guest.
    files: Mapping[str, bytes]
    drivers: tuple[str, ...] = ()

    @functools.cached_property
    def stamp(self) -> str:
        """Tells recipes apart."""
        parts = [part for item in sorted(self.files.items()) for part in item]
        return cache.digest(*parts, *self.drivers)


def load(*names: str, report: Progress = lambda what, percent: None) -> Recipe:
    """
    The recipes of that name; a file of a later one replaces one of an earlier one.

    Raises ArchiveError for programs that cannot be had.
    """
    files: dict[str, bytes] = {}
    drivers: dict[str, None] = {}
    for name in names:
        folder = resources.images() / name
        for path in sorted(folder.rglob("*")):
            if path.is_file() and path.name != _NEEDS:
                files[str(path.relative_to(folder))] = path.read_bytes()
        if (folder / _NEEDS).exists():
            needs = yamlfile.read(folder / _NEEDS, Needs)
            drivers.update(dict.fromkeys(needs.drivers))
            files.update(_programs(needs, report))
    return Recipe(files, tuple(drivers))


def _programs(needs: Needs, report: Progress) -> dict[str, bytes]:
    if not needs.programs:
        return {}
    root = programs.fetch(needs.packages, settings.load().archive, report)
    files: dict[str, bytes] = {}
    for name, target in needs.programs.items():
        program = programs.find(root, name)
        files[target] = program.read_bytes()
        for library, path in programs.libraries(root, program).items():
            files[f"lib/{library}"] = path.read_bytes()
    return files
