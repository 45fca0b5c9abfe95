# SPDX-License-Identifier: GPL-2.0-only
"""The user's environment and paths."""

from __future__ import annotations

import os
import subprocess

from tests.faults.fault import Fault
from tests.faults.inject import both, built, cache, environment, temporary, under
from tests.faults.place import Place

AS_ROOT = os.geteuid() == 0


def other_repository(place: Place) -> None:
    """Set GIT_DIR to a repository that the command has nothing to do with."""
    other = place.folder / "other"
    subprocess.run(["git", "init", "--quiet", other], check=True)
    place.environment["GIT_DIR"] = str(other / ".git")


# No entry in /etc/passwd has this UID.
UNKNOWN_UID = "54321"
_CAPABILITIES = "+dac_override,+dac_read_search"
unknown_user = under("unshare", "--user", f"--map-user={UNKNOWN_UID}", f"--map-group={UNKNOWN_UID}")
# The same where no user namespace can be made, as in a chroot.  The capabilities are for
# the files, which stay root's; bubblewrap would refuse them.
root_as_unknown_user = under(
    "setpriv", f"--reuid={UNKNOWN_UID}", f"--regid={UNKNOWN_UID}", "--clear-groups",
    f"--inh-caps={_CAPABILITIES}", f"--ambient-caps={_CAPABILITIES}",
)  # fmt: skip
nobody = root_as_unknown_user if AS_ROOT else unknown_user


def from_make(place: Place) -> None:
    """Run the command as a step of a Makefile, with jobs and variables of make's own."""
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
    Fault("variables that kbuild and compilers heed", KBUILD, full=True),
    Fault("another repository in GIT_DIR", both(built, other_repository)),
    Fault("the locale C", both(built, environment(LANG="C", LC_ALL="C", LANGUAGE=None))),
    Fault("a home that cannot be written", both(built, environment(HOME="/proc"))),
    Fault("no home", both(built, environment(HOME=None)), full=True),
    Fault("a user without an entry in /etc/passwd", both(built, nobody)),
    Fault(
        "a user without an entry, and no home",
        both(built, nobody, environment(HOME=None)),
        full=True,
    ),
    Fault("a space and a comma in the cache's path", cache("my cache, large"), full=True),
    Fault("a colon in the cache's path", cache("a:b"), full=True),
    Fault(
        "a percent sign, a hash and a dollar in the cache's path", cache("100%#$HOME"), full=True
    ),
    Fault("quotes in the cache's path", cache('it\'s "mine"'), full=True),
    Fault("letters beyond ASCII in the cache's path", cache("Zwischenspeicher für λ"), full=True),
    Fault("a comma and a space in TMPDIR", both(built, temporary("a, b=c"))),
    Fault("a TMPDIR of 150 characters", both(built, temporary("t" * 150)), full=True),
    Fault(
        "letters beyond ASCII in TMPDIR",
        both(built, temporary("für λ"), environment(LC_ALL="C")),
        full=True,
    ),
    Fault("a percent sign and a hash in TMPDIR", both(built, temporary("100%#")), full=True),
    Fault(
        "a TMPDIR that is not there", both(built, environment(TMPDIR="/proc/nowhere")), full=True
    ),
    Fault("a step of a Makefile", from_make, full=True),
)
