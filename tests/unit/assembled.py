# SPDX-License-Identifier: GPL-2.0-only
"""Snippets of arm64 assembly, assembled in one go."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

from harness.modules.disassembly import Instruction, functions

# The assembler takes instructions that only newer processors have.
_HEAD = ".arch armv8.6-a+ls64+memtag\n"


def write(snippets: Mapping[str, str], folder: Path) -> Path:
    """Return an object file with a function for each snippet, by name."""
    texts = [
        f".type {name}, %function\n{name}: {text}\n.size {name}, . - {name}\n"
        for name, text in snippets.items()
    ]
    source, made = folder / "snippets.s", folder / "snippets.o"
    source.write_text(_HEAD + "".join(texts))
    subprocess.run(
        ["aarch64-linux-gnu-as", "--no-warn", "-o", made, source], check=True, timeout=60
    )
    return made


def assemble(snippets: Iterable[str], folder: Path) -> dict[str, list[Instruction]]:
    """Return each snippet's instructions; those of a snippet are separated by semicolons."""
    names = {f"s{number}": text for number, text in enumerate(dict.fromkeys(snippets))}
    found = functions(write(names, folder), names)
    return {text: found[name] for name, text in names.items()}
