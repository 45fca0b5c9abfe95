# SPDX-License-Identifier: GPL-2.0-only
"""
Recipes: the folders of images/, which guests' root file systems have besides the modules.

A file in such a folder has the same path in the guest; recipe.yaml lists what else
it needs.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from harness import resources, settings
from harness.archive import programs
from harness.host import cache, yamlfile

_NEEDS = "recipe.yaml"


class Needs(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The content of recipe.yaml."""

    # Modules of the kernel's own; an option of the same name may have them built in.
    drivers: list[str] = []
    # Debian's arm64 packages that have the programs and the libraries they are linked with.
    packages: list[str] = []
    # By a program's name in the packages: its path in the guest.
    programs: dict[str, str] = {}


@dataclass(frozen=True)
class Recipe:
    """One folder of images/, or several put together."""

    # Contents by path in the guest.
    files: Mapping[str, bytes]
    drivers: tuple[str, ...] = ()

    @functools.cached_property
    def stamp(self) -> str:
        """A string that tells recipes apart."""
        parts = [part for item in sorted(self.files.items()) for part in item]
        return cache.digest(*parts, *self.drivers)


def load(*names: str) -> Recipe:
    """
    Return the recipes of these names in one; a later one's file replaces an earlier one's.

    Raises ArchiveError for programs that cannot be fetched.
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
            files.update(_programs(needs))
    return Recipe(files, tuple(drivers))


def _programs(needs: Needs) -> dict[str, bytes]:
    if not needs.programs:
        return {}
    root = programs.fetch(needs.packages, settings.load().archive)
    files: dict[str, bytes] = {}
    for name, target in needs.programs.items():
        program = programs.find(root, name)
        files[target] = program.read_bytes()
        for library, path in programs.libraries(root, program).items():
            files[f"lib/{library}"] = path.read_bytes()
    return files
