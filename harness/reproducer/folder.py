# SPDX-License-Identifier: GPL-2.0-only
"""
Writes the folder of a finding.

It has a module, a program that attaches an empty BPF program, a script that builds and runs both,
and a draft of a report.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from harness import resources
from harness.host import blame
from harness.kernel.kernel import Bootable
from harness.reproducer import draft, source
from harness.reproducer.finding import Finding, findings
from harness.tracing.run import Tracing

# What attach.c needs in place of a C library.
PROGRAM = "drive/program.h"
SCRIPT = "reproduce.sh"
_SUFFIX = ".j2"


def write_all(folder: Path, kernels: Sequence[Bootable], found: Sequence[Tracing]) -> list[str]:
    """
    Write a folder of its own for each argument list that a program leaves wrong.

    Return what was written, in sentences.  Raises InfrastructureError.
    """
    written = []
    with blame.explaining():
        for finding in findings(kernels, found):
            write(finding, folder / finding.name)
            written.append(f"{folder / finding.name} shows how {_sentence(finding)}.")
    return written or [f"No BPF program leaves an argument wrong: nothing is in {folder}."]


def _sentence(finding: Finding) -> str:
    which = draft.which(finding.wrong.cell)
    return f"{finding.tracer.name} changes {which} of {finding.case.name}"


def write(finding: Finding, folder: Path) -> None:
    """Write one folder; files of the same names in it are replaced."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files(finding).items():
        (folder / name).write_text(text)
    (folder / SCRIPT).chmod(0o755)


@functools.cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("harness.reproducer", "files"),
        # None of them is HTML.
        autoescape=select_autoescape(),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["braces"] = source.braces
    return environment


def files(finding: Finding) -> dict[str, str]:
    """Return the texts of all files by their names."""
    environment = _environment()
    values = {
        "attach": finding.attach,
        "case": finding.case,
        **source.context(finding.case, modifiable=finding.attach == "fmod-ret"),
        **draft.context(finding),
    }
    texts = {
        name.removesuffix(_SUFFIX): environment.get_template(name).render(values)
        for name in environment.list_templates()
    }
    program = resources.kernel_modules() / PROGRAM
    return {**texts, program.name: program.read_text()}
