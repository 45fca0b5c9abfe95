# SPDX-License-Identifier: GPL-2.0-only
"""Injections of faults into a place; those that one part of the catalogue needs are there."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path

import harness
from tests.faults.fault import Inject
from tests.faults.place import Place
from tests.unit.standin import source_tree


def environment(**variables: str | None) -> Inject:
    """Set environment variables; None unsets one."""

    def inject(place: Place) -> None:
        place.environment |= variables

    return inject


def arguments(*words: str) -> Inject:
    """Add arguments to the command."""

    def inject(place: Place) -> None:
        place.words += words

    return inject


def command(*words: str) -> Inject:
    """Run another command of jprobe-harness."""

    def inject(place: Place) -> None:
        place.words = list(words)

    return inject


def under(*prefix: str) -> Inject:
    """Run the command behind `prefix`, which is a command that runs another one."""

    def inject(place: Place) -> None:
        place.prefix = list(prefix)

    return inject


def both(*injects: Inject) -> Inject:
    """Do several injections, in order."""

    def inject(place: Place) -> None:
        for one in injects:
            one(place)

    return inject


def built(place: Place) -> None:
    """Have the modules built before the fault."""
    place.have_modules()


def temporary(name: str) -> Inject:
    """Set TMPDIR to a new folder of that name."""

    def inject(place: Place) -> None:
        folder = place.folder / name
        folder.mkdir(parents=True)
        place.environment["TMPDIR"] = str(folder)

    return inject


def cache(name: str) -> Inject:
    """Set the cache to a folder of that name, in which nothing was built yet."""

    def inject(place: Place) -> None:
        place.have_cache(place.folder / name)

    return inject


def case(name: str, text: str) -> Inject:
    """Play nothing but a case of the user's."""

    def inject(place: Place) -> None:
        place.write(f"cases/{name}.yaml", f"shows: a case of the user's\n{text}\n")
        place.words = ["repro", "--case-dir", "cases", "--case", name]

    return inject


def matrix(text: str) -> Inject:
    """Run nightly with a matrix of the user's."""

    def inject(place: Place) -> None:
        path = place.write("matrix.yaml", f"shows: a matrix of the user's\n{text}\n")
        place.words = ["nightly", str(path)]

    return inject


def file(name: str, text: str) -> Inject:
    """Write a file below the folder that the command runs in."""

    def inject(place: Place) -> None:
        place.write(name, text)

    return inject


def tree(place: Place) -> None:
    """Add a source tree that has what is checked before anything is built."""
    place.words += ["--kernel", str(source_tree(place.work / "linux", "6.1"))]


def program(name: str, script: str) -> Inject:
    """Put a program of that name first on PATH."""

    def inject(place: Place) -> None:
        place.program(name, script)

    return inject


def without(name: str) -> Inject:
    """Take a program off PATH."""

    def inject(place: Place) -> None:
        folder = place.folder / "others"
        folder.mkdir()
        for path in reversed(os.environ["PATH"].split(":")):
            for other in Path(path).glob("*"):
                if other.name != name:
                    link = folder / other.name
                    link.unlink(missing_ok=True)
                    link.symlink_to(other)
        place.environment["PATH"] = str(folder)

    return inject


def patched(code: str) -> Inject:
    """Run `code` in each process of jprobe-harness before the program's own."""

    def inject(place: Place) -> None:
        patch = place.folder / "patch"
        patch.mkdir()
        (patch / "sitecustomize.py").write_text(code)
        path = os.pathsep.join([str(patch), str(Path(harness.__file__).parents[1])])
        run = f"exec {shlex.quote(sys.executable)} -m harness.cli"
        place.program("jprobe-harness", f'PYTHONPATH={shlex.quote(path)} {run} "$@"')

    return inject
