# SPDX-License-Identifier: GPL-2.0-only
"""All cases, variants and kernels, by name."""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from harness import resources
from harness.cases import kept
from harness.cases.schema import SAVE_MAX, KernelFile
from harness.errors import ConfigError
from harness.host import yamlfile
from harness.model.case import Case
from harness.model.policy import Changes, Policy, Rule, Variant
from harness.patterns import select

T = TypeVar("T")
# The most files in a folder: a test module with that many cases takes an hour to compile.
FILES_MAX = 10_000


def _listed(folder: Path) -> list[Path]:
    """Return the YAML files of a folder; raise ConfigError for more than FILES_MAX."""
    files = list(itertools.islice(folder.glob("*.yaml"), FILES_MAX + 1))
    if len(files) > FILES_MAX:
        raise ConfigError(
            f"{folder} has more than {FILES_MAX:,} YAML files.",
            "Give --case-dir a folder of cases, or play them folder by folder.",
        )
    return sorted(files)


def load_case(path: Path) -> Case:
    """Read the file of a case; raise ConfigError that names the file."""
    # Slow to import, and not needed for a file that is known.
    from harness.cases import reader

    return reader.load_case(path)


def load_variant(path: Path) -> Variant:
    """Read the file of a variant; raise ConfigError that names the file."""
    from harness.cases import reader

    return reader.load_variant(path)


def load_kernel(path: Path) -> KernelFile:
    """Read the file of a kernel; raise ConfigError that names the file."""
    return yamlfile.read(path, KernelFile)


class Catalog:
    """The cases, variants and kernels that can be named on the command line."""

    def __init__(self, case_dirs: Sequence[Path] = ()) -> None:
        self._roots = [resources.configs()]
        for root in case_dirs:
            if not root.is_dir():
                raise ConfigError(f"{root}: no such directory.", "Check --case-dir.")
            self._roots.append(root)

    def _read(self, folder: str, load: Callable[[Path], T]) -> dict[str, T]:
        """Return what all files in folders of that name say, by the files' names."""
        folders = [root / folder for root in self._roots]
        # A user's directory may also hold nothing but cases.
        if folder == "cases":
            folders += self._roots[1:]
        found: dict[str, T] = {}
        for files in map(_listed, folders):
            found.update(zip((path.stem for path in files), kept.read(files, load)))
        return found

    @functools.cached_property
    def cases(self) -> dict[str, Case]:
        """The cases by name; a user's case replaces a built-in one of the same name."""
        return self._read("cases", load_case)

    @functools.cached_property
    def variants(self) -> dict[str, Variant]:
        """The variants by name, ordered by how much they save, least first."""
        order = list(Rule)
        variants = sorted(
            self._read("variants", load_variant).values(),
            key=lambda v: (order.index(v.policy.rule), v.policy.size, v.name),
        )
        return {variant.name: variant for variant in variants}

    @functools.cached_property
    def kernels(self) -> dict[str, KernelFile]:
        """The kernels by name; the file debian-6.1.yaml is the kernel debian:6.1."""
        found = self._read("kernels", load_kernel)
        return {name.replace("-", ":", 1): kernel for name, kernel in found.items()}

    def select_cases(self, patterns: Sequence[str]) -> list[Case]:
        """
        Return the cases that match any of the shell patterns, or all without a pattern.

        Those that match a pattern behind a `!` are left out.
        """
        return select("case", self.cases, patterns)

    def select_variants(self, patterns: Sequence[str]) -> list[Variant]:
        """
        Return the variants that match any of the shell patterns, or all without a pattern.

        `fixed:N` makes a variant of any size; `tree` and `patch:FILE` are what a tree's
        own jprobes do, unpatched and with a patch.
        """
        known = dict(self.variants)
        names = []
        for text in patterns:
            if match := re.fullmatch(r"fixed:(\d{1,9})", text):
                size = int(match[1])
                if size > SAVE_MAX:
                    raise ConfigError(
                        f"variant '{text}': no stack is larger than {SAVE_MAX} bytes."
                    )
                known[text] = Variant(
                    text, Policy(Rule.FIXED, size), f"min({size}, stack top - SP)", "you"
                )
            elif text == "tree" or text.startswith("patch:"):
                known[text] = own_variant(text, Changes(patches=tuple(_patches(text))))
            names.append(text)
        return select("variant", known, names)


def _patches(text: str) -> list[str]:
    return [text.removeprefix("patch:")] if text.startswith("patch:") else []


def own_variant(name: str, changes: Changes) -> Variant:
    """Return the variant that stands for a tree's own jprobes after changes to the tree."""
    return Variant(name, Policy(Rule.KERNEL), "what the tree's own jprobes do", "you", changes)
