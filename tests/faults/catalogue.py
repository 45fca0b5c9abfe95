# SPDX-License-Identifier: GPL-2.0-only
"""
What may be wrong around a run of one cell, and how the run has to end.

A row is a fault: what puts it there, the status, and a sentence that is said.
Adding one is adding a row; what it does to a place is a function of a few lines.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.disks import under_a_small_disk
from tests.faults.place import Place
from tests.unit.standin import source_tree

Inject = Callable[[Place], None]
AS_ROOT = os.geteuid() == 0


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong."""

    name: str
    inject: Inject
    # Exit status of the command.
    status: int = 0
    # A regular expression that its output has.
    says: str = ""
    # It takes too long for each change; see the label `full` in tox.ini.
    full: bool = False


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


def full_disk(place: Place) -> None:
    """The modules' cache is a disk with room for less than they need."""
    folder = place.cache / "modules"
    folder.mkdir()
    place.prefix = under_a_small_disk(folder, "700k")


def other_repository(place: Place) -> None:
    """GIT_DIR names a repository that the command has nothing to do with."""
    other = place.folder / "other"
    subprocess.run(["git", "init", "--quiet", other], check=True)
    place.environment["GIT_DIR"] = str(other / ".git")


def killed_compiler(place: Place) -> None:
    """The kernel ends the compiler, as it does where memory runs out."""
    real = shutil.which("aarch64-linux-gnu-gcc")
    place.program(
        "aarch64-linux-gnu-gcc",
        f'''case "$*" in *cases.c) kill -KILL $$;; esac
exec {real} "$@"''',
    )


# No entry in /etc/passwd has it.
UNKNOWN_UID = "54321"
_CAPABILITIES = "+dac_override,+dac_read_search"
unknown_user = under("unshare", "--user", f"--map-user={UNKNOWN_UID}", f"--map-group={UNKNOWN_UID}")
# The same where no namespace of users can be had, as in a chroot.  The capabilities are for
# the files, which stay root's; bubblewrap would refuse them.
root_as_unknown_user = under(
    "setpriv", f"--reuid={UNKNOWN_UID}", f"--regid={UNKNOWN_UID}", "--clear-groups",
    f"--inh-caps={_CAPABILITIES}", f"--ambient-caps={_CAPABILITIES}",
)  # fmt: skip
nobody = root_as_unknown_user if AS_ROOT else unknown_user


def from_make(place: Place) -> None:
    """The command is a step of a Makefile, and make has jobs and variables of its own."""
    write = 'printf "all:\\n\\t+%s\\n" "$*" >run.mk'
    run = "exec make --silent -j2 M=/proc/nowhere W=1 -f run.mk"
    place.prefix = ["sh", "-c", f"{write} && {run}", "sh"]


KBUILD = environment(
    KBUILD_OUTPUT="/proc/nowhere",
    KBUILD_EXTRA_SYMBOLS="/proc/nowhere",
    KBUILD_VERBOSE="1",
    LLVM="1",
    ARCH="x86",
    CROSS_COMPILE="no-",
    KCFLAGS="-Werror -Dlong=int",
    MAKEFLAGS="W=1 M=/proc/nowhere",
    LOCALVERSION="-mine",
    C_INCLUDE_PATH="/proc/nowhere",
    V="1",
)

FAULTS = (
    Fault("variables that kbuild and compilers heed", KBUILD),
    Fault("another repository in GIT_DIR", both(built, other_repository)),
    Fault("the locale C", both(built, environment(LANG="C", LC_ALL="C", LANGUAGE=None))),
    Fault("a home that cannot be written", both(built, environment(HOME="/proc"))),
    Fault("no home", both(built, environment(HOME=None))),
    Fault("a user without an entry in /etc/passwd", both(built, nobody)),
    Fault(
        "a user without an entry, and no home",
        both(built, nobody, environment(HOME=None)),
        full=True,
    ),
    Fault("a space and a comma in the cache's path", cache("my cache, large")),
    Fault("a colon in the cache's path", cache("a:b"), full=True),
    Fault(
        "a percent sign, a hash and a dollar in the cache's path", cache("100%#$HOME"), full=True
    ),
    Fault("quotes in the cache's path", cache('it\'s "mine"'), full=True),
    Fault("letters beyond ASCII in the cache's path", cache("Zwischenspeicher für λ"), full=True),
    Fault("a comma and a space in TMPDIR", both(built, temporary("a, b=c"))),
    Fault("a TMPDIR of 150 characters", both(built, temporary("t" * 150))),
    Fault(
        "letters beyond ASCII in TMPDIR",
        both(built, temporary("für λ"), environment(LC_ALL="C")),
        full=True,
    ),
    Fault("a percent sign and a hash in TMPDIR", both(built, temporary("100%#")), full=True),
    Fault(
        "a TMPDIR that is not there", both(built, environment(TMPDIR="/proc/nowhere")), full=True
    ),
    Fault("a full disk under the modules' cache", full_disk, 3, "No space left"),
    Fault(
        "the same under git bisect",
        both(full_disk, arguments("--bisect")),
        128,
        "No space left",
        full=True,
    ),
    Fault("20 open files at most", under("prlimit", "--nofile=20"), 3, "open files"),
    Fault(
        "a compiler that is killed",
        killed_compiler,
        3,
        "signal|[Kk]illed",
        full=True,
    ),
    Fault("no make", without("make"), 3, "make is not installed", full=True),
    Fault("no emulator", both(built, without("qemu-system-aarch64")), 3, "is not installed"),
    Fault(
        "no folder for logs", both(built, environment(XDG_STATE_HOME="/proc/nowhere")), 3, "logs"
    ),
    Fault("a case called storm", case("storm", "arguments: [9 x long]\nhandler: {assign: all}")),
    Fault("a case called nested", case("nested", "arguments: [long]"), full=True),
    Fault("a case called assembled", case("assembled", "arguments: [long]"), full=True),
    Fault("a case named after a keyword of C", case("register", "arguments: [long]"), full=True),
    Fault(
        "a key twice",
        case("twice", "arguments: [long]\narguments: [int]"),
        2,
        ":3: 'arguments' was given in line 2",
    ),
    Fault("a word in place of a list", matrix("kernels: debian:6.1"), 2, "kernels: give a list"),
    Fault("a misspelt context", case("sixth", "arguments: [long]\ncontext: hardirk"), 2, "hardirq"),
    Fault(
        "an unknown kernel", command("repro", "--kernel", "debian:6.11"), 2, r"nearest: debian:6\.1"
    ),
    Fault(
        "an unknown kernel in a matrix",
        matrix("kernels: [debian:6.11]"),
        2,
        r"nearest: debian:6\.1",
    ),
    Fault(
        "a patch that is not there",
        both(tree, arguments("--patch", "nofile.patch")),
        2,
        r"nofile\.patch: cannot be read",
    ),
    Fault(
        "a patch that is none",
        both(tree, file("prose.patch", "Dear all,\n"), arguments("--patch", "prose.patch")),
        2,
        r"prose\.patch is not a patch",
    ),
    Fault(
        "a patch to a kernel that is no tree",
        both(file("prose.patch", "Dear all,\n"), arguments("--patch", "prose.patch")),
        2,
        "is not a source tree",
    ),
    Fault(
        "a page that cannot be written",
        both(matrix("kernels: [debian:6.1]"), arguments("--html", "/proc/nowhere/x.html")),
        2,
        r"/proc/nowhere/x\.html",
    ),
    Fault("two outputs in one file", arguments("--json", "out", "--junit", "out"), 2, "out"),
    Fault(
        "two outputs on the terminal", arguments("--json", "-", "--ktap", "-"), 2, "standard output"
    ),
    Fault("a step of a Makefile", from_make, full=True),
)


if __name__ == "__main__":
    sys.stdout.writelines(f"{fault.status:3}  {fault.name}\n" for fault in FAULTS)
