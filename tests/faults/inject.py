# SPDX-License-Identifier: GPL-2.0-only
"""What puts a fault into a place; what only one kind of fault needs stands with its rows."""

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
    """Variables that a user's shell may have."""

    def inject(place: Place) -> None:
        place.environment |= variables

    return inject


def arguments(*words: str) -> Inject:
    """Further words of the command's."""

    def inject(place: Place) -> None:
        place.words += words

    return inject


def command(*words: str) -> Inject:
    """Another command."""

    def inject(place: Place) -> None:
        place.words = list(words)

    return inject


def under(*prefix: str) -> Inject:
    """A command that runs the command."""

    def inject(place: Place) -> None:
        place.prefix = list(prefix)

    return inject


def both(*injects: Inject) -> Inject:
    """Several things at once, in their order."""

    def inject(place: Place) -> None:
        for one in injects:
            one(place)

    return inject


def built(place: Place) -> None:
    """The modules were built before; the fault comes after."""
    place.have_modules()


def temporary(name: str) -> Inject:
    """A TMPDIR of that name."""

    def inject(place: Place) -> None:
        folder = place.folder / name
        folder.mkdir(parents=True)
        place.environment["TMPDIR"] = str(folder)

    return inject


def cache(name: str) -> Inject:
    """A cache folder of that name, in which nothing was built yet."""

    def inject(place: Place) -> None:
        place.have_cache(place.folder / name)

    return inject


def case(name: str, text: str) -> Inject:
    """A case of the user's, which is played alone."""

    def inject(place: Place) -> None:
        place.write(f"cases/{name}.yaml", f"shows: a case of the user's\n{text}\n")
        place.words = ["repro", "--case-dir", "cases", "--case", name]

    return inject


def matrix(text: str) -> Inject:
    """A nightly run over a matrix of the user's."""

    def inject(place: Place) -> None:
        path = place.write("matrix.yaml", f"shows: a matrix of the user's\n{text}\n")
        place.words = ["nightly", str(path)]

    return inject


def file(name: str, text: str) -> Inject:
    """A file in the folder that the command runs in."""

    def inject(place: Place) -> None:
        place.write(name, text)

    return inject


def tree(place: Place) -> None:
    """A source tree as far as it is looked at before anything is built."""
    place.words += ["--kernel", str(source_tree(place.work / "linux", "6.1"))]


def program(name: str, script: str) -> Inject:
    """A program of that name, found before the machine's own."""

    def inject(place: Place) -> None:
        place.program(name, script)

    return inject


def without(name: str) -> Inject:
    """A machine on which a program is not installed."""

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
    """This program, of which `code` changes something before it runs."""

    def inject(place: Place) -> None:
        patch = place.folder / "patch"
        patch.mkdir()
        (patch / "sitecustomize.py").write_text(code)
        path = os.pathsep.join([str(patch), str(Path(harness.__file__).parents[1])])
        run = f"exec {shlex.quote(sys.executable)} -m harness.cli"
        place.program("jprobe-harness", f'PYTHONPATH={shlex.quote(path)} {run} "$@"')

    return inject
