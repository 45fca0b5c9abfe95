# SPDX-License-Identifier: GPL-2.0-only
"""What an image's own symbols say of a function beside its prototype; no I/O."""

from __future__ import annotations

from collections.abc import Iterable


def clones(name: str, symbols: Iterable[str]) -> list[str]:
    """Return the names of the copies that the compiler made of a function, "f.isra.0"."""
    return sorted(one for one in symbols if one.startswith(f"{name}."))


def doubt(name: str, symbols: frozenset[str] | None) -> str:
    """Return why a function of the image is not called as its prototype says, or ""."""
    if symbols is None or name in symbols:
        return ""
    if made := clones(name, symbols):
        clone = "a clone" if len(made) == 1 else "clones"
        return (
            f"The image has only {', '.join(made)}, {clone} of the compiler's that need not take"
            " what a prototype says."
        )
    return "The image has no code of it: it was inlined everywhere, or left out."


def absence(name: str, symbols: frozenset[str] | None) -> str:
    """Return why there is no prototype of a function, in a sentence."""
    if symbols is None:
        return "A function that is written in assembly, or was inlined everywhere, has none in BTF."
    if name in symbols:
        return (
            "There is code of it, but BTF leaves its types out, as of what is written in assembly."
            " If you know them: jprobe-harness where --signature TYPES."
        )
    if clones(name, symbols):
        return doubt(name, symbols)
    return (
        "The image has no code of it, either: it was inlined everywhere, is a module's without"
        " BTF, or was not built."
    )
