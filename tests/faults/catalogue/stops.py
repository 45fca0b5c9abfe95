# SPDX-License-Identifier: GPL-2.0-only
"""What ends a run too early: signals, readers that go away, our own code."""

from __future__ import annotations

import json
import shlex
import shutil
from collections.abc import Callable

from tests.disks import under_a_small_disk
from tests.faults.fault import Blame, Fault, Inject
from tests.faults.inject import arguments, both, built, matrix, patched, under
from tests.faults.place import Place
from tests.faults.replay import emulated, replayed, wait

# Runs `action` in a process of this program when a function is called for the `number`th time.
_AT = """
def patch():
    import functools, importlib, itertools, os, shutil, signal
    from pathlib import Path

    *path, name = {function!r}.split(".")
    owner = functools.reduce(getattr, path, importlib.import_module({module!r}))
    real, calls = getattr(owner, name), itertools.count(1)

    def stand_in(*words, **options):
        if next(calls) == {number}:
            {action}
        return real(*words, **options)

    setattr(owner, name, stand_in)


patch()
"""
OURS = "A fault of this program's own: ZeroDivisionError"
WRONG = "1 / 0"
# The stages of a run, each as the call before which the run is in it.
RESOLVING = ("harness.kernel.spec", "resolve", 1)
BOOTING = ("harness.run.session", "Session.introduce", 1)
PLAYING = ("harness.run.batch", "Boots._add", 3)
WRITING = ("harness.commands.output", "write", 1)
CLEANING = ("harness.host.temporary", "_delete", 1)
OUTPUTS = ("--json", "out.json", "--junit", "out.xml")
# The cells of the run with nothing wrong, in two units.
NIGHT = """kernels: [debian:6.1]
variants: [none, fixed-64, fixed-128]
cases: [stack-9]
repetitions: 2
"""

Stage = tuple[str, str, int]


def code(stage: Stage, action: str) -> str:
    """Return code that does `action` at a stage of the run."""
    module, function, number = stage
    return _AT.format(module=module, function=function, number=number, action=action)


def at(stage: Stage, action: str) -> Inject:
    """Do `action` at a stage of the run."""
    return patched(code(stage, action))


def kills(name: str) -> str:
    """Return an action: the process sends itself a signal."""
    return f"os.kill(os.getpid(), signal.{name})"


def make(script: str) -> Inject:
    """Put a make first that runs a script before its own work."""

    def inject(place: Place) -> None:
        place.program("make", f'{script}\nexec {shutil.which("make")} "$@"')

    return inject


def in_second_unit(action: str) -> Inject:
    """Something in the process of a nightly run's second unit, as it plays."""

    def inject(place: Place) -> None:
        mark = place.folder / "first"
        first = f"Path({str(mark)!r})"
        done = f"{action} if {first}.exists() else {first}.touch()"
        patched(code(PLAYING, done))(place)

    return inject


def shell(script: str) -> Inject:
    """Run a shell script that has the command as "$@"."""
    return under("bash", "-c", script, "bash")


def small_logs(place: Place) -> None:
    """Put the logs on a disk that is too small for the guest's initrd."""
    folder = place.folder / "state/jprobe-harness"
    folder.mkdir()
    place.prefix = under_a_small_disk(folder, "64k")


def lose_logs(place: Place) -> None:
    """Remove the folders of logs while the run is at work."""
    runs = place.folder / "state/jprobe-harness/runs"
    at(PLAYING, f"shutil.rmtree({str(runs)!r})")(place)


def wrote(count: int) -> Callable[[Place], None]:
    """Return a check: there are `count` verdicts in the JSON, and as many in the XML."""

    def check(place: Place) -> None:
        assert len(json.loads((place.work / "out.json").read_text())["verdicts"]) == count
        assert (place.work / "out.xml").read_text().count('name="stack-9"') == count

    return check


def reported(place: Place) -> None:
    """What was judged is written, and there is a report that shows where our code failed."""
    wrote(2)(place)
    (report,) = (place.folder / "state/jprobe-harness/faults").iterdir()
    text = report.read_text()
    (logs,) = (place.folder / "state/jprobe-harness/runs").iterdir()
    assert f"logs: {logs}" in text
    assert "sitecustomize.py" in text
    assert shlex.join(OUTPUTS) in text


def reported_as_killed(place: Place) -> None:
    ran = place.run(["runs"])
    assert "was killed" in ran.output, ran.output


def stored(count: int) -> Callable[[Place], None]:
    """So many units of the nightly run are remembered, and reported in its JSON."""

    def check(place: Place) -> None:
        assert len(json.loads((place.work / "out.json").read_text())["units"]) == count

    return check


def _playing(name: str, *, full: bool) -> Fault:
    return Fault(
        f"{name} while a run plays",
        both(replayed(), at(PLAYING, kills(name)), arguments(*OUTPUTS)),
        Blame.MACHINE,
        r"2 of 3 plays on debian:6\.1 were judged, and the logs of them are kept",
        kept=2,
        also=wrote(2),
        full=full,
    )


SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT")
FAULTS = (
    *(_playing(name, full=name != "SIGTERM") for name in SIGNALS),
    Fault(
        "SIGTERM while a kernel is looked for",
        both(built, at(RESOLVING, kills("SIGTERM"))),
        Blame.MACHINE,
        "ended by SIGTERM; nothing was judged yet",
        full=True,
    ),
    Fault(
        "SIGHUP while modules are built",
        make("kill -HUP $PPID; sleep 600"),
        Blame.MACHINE,
        "ended by SIGHUP; nothing was judged yet",
        full=True,
    ),
    Fault(
        "SIGQUIT while a guest boots",
        both(emulated(lambda recording: [wait()]), at(BOOTING, kills("SIGQUIT"))),
        Blame.MACHINE,
        r"ended by SIGQUIT; 0 of 3 plays on debian:6\.1 were judged",
        full=True,
    ),
    Fault(
        "SIGTERM while outputs are written",
        both(replayed(), at(WRITING, kills("SIGTERM")), arguments(*OUTPUTS)),
        Blame.MACHINE,
        "ended by SIGTERM; all that there is was reported",
        kept=3,
        also=wrote(3),
        full=True,
    ),
    Fault(
        "a second SIGTERM while it cleans up",
        both(
            replayed(),
            patched(code(PLAYING, kills("SIGTERM")) + code(CLEANING, kills("SIGTERM"))),
            arguments("--cold", *OUTPUTS),
        ),
        Blame.MACHINE,
        "2 of 3 plays",
        kept=2,
        also=wrote(2),
        full=True,
    ),
    Fault(
        "SIGTERM while a nightly run's second unit plays",
        both(
            replayed(),
            matrix(NIGHT),
            arguments("--jobs", "1", "--json", "out.json"),
            in_second_unit("os.kill(os.getppid(), signal.SIGTERM)"),
        ),
        Blame.MACHINE,
        r"by SIGTERM; 1 of 2 units of nightly run 1 are stored\.\n  Continue with: .* --resume",
        also=stored(1),
        full=True,
    ),
    Fault(
        "SIGKILL while a run plays",
        both(replayed(), at(PLAYING, kills("SIGKILL"))),
        status=-9,
        leaves=True,
        also=reported_as_killed,
    ),
    Fault(
        "SIGKILL while modules are built",
        make("kill -KILL $PPID; exit"),
        status=-9,
        leaves=True,
        full=True,
    ),
    Fault(
        "a standard output that is closed",
        both(replayed(), shell('"$@" >&-'), arguments(*OUTPUTS)),
        Blame.MACHINE,
        "standard output cannot be written: Bad file descriptor",
        also=wrote(3),
    ),
    Fault(
        "a reader that has gone",
        both(replayed(), shell('"$@" | :; exit "${PIPESTATUS[0]}"'), arguments(*OUTPUTS)),
        Blame.MACHINE,
        "Standard output was closed before all was written",
        also=wrote(3),
        full=True,
    ),
    Fault(
        "a standard output that is full",
        both(replayed(), shell('"$@" >/dev/full'), arguments(*OUTPUTS)),
        Blame.MACHINE,
        "No space left on device",
        also=wrote(3),
        full=True,
    ),
    Fault(
        "a reader of errors that has gone",
        both(replayed(), shell('"$@" 2> >(:)'), arguments(*OUTPUTS)),
        also=wrote(3),
    ),
    Fault(
        "a full disk for logs while it runs",
        both(replayed(), small_logs),
        Blame.MACHINE,
        r"The log \S+/initrd-1 cannot be written: No space left on device",
        kept=3,
    ),
    Fault(
        "logs that are removed while it runs",
        both(replayed(), lose_logs),
        Blame.MACHINE,
        r"The log \S+/run\.json cannot be written: No such file or directory",
        kept=3,
        full=True,
    ),
    Fault(
        "another run that is building the same modules",
        both(make("sleep 2"), shell('"$@" >&2 & "$@"; status=$?; wait $! && exit $status')),
        says=r"modules/\w+\.lock is held by PID \d+ \(.*repro --case stack-9 .*\); waiting for it",
        full=True,
    ),
    Fault(
        "a fault of ours while a run plays",
        both(replayed(), at(PLAYING, WRONG), arguments(*OUTPUTS)),
        Blame.OURSELVES,
        rf"{OURS}.* A report is in \S+\. 2 of 3 plays on debian:6\.1 were judged\.",
        kept=2,
        also=reported,
    ),
    Fault(
        "a fault of ours under git bisect",
        both(replayed(), at(PLAYING, WRONG), arguments("--bisect")),
        Blame.OURSELVES,
        OURS,
        status=128,
        kept=2,
        full=True,
    ),
    Fault(
        "a fault of ours while a kernel is looked for",
        both(built, at(RESOLVING, WRONG)),
        Blame.OURSELVES,
        OURS,
        full=True,
    ),
    Fault(
        "a fault of ours in one of the outputs",
        both(
            replayed(),
            at(("harness.report.formats.ktap", "document", 1), WRONG),
            arguments("--ktap", "out.ktap", *OUTPUTS),
        ),
        Blame.OURSELVES,
        OURS,
        kept=3,
        also=wrote(3),
        full=True,
    ),
    Fault(
        "a fault of ours in a nightly run's second unit",
        both(
            replayed(),
            matrix(NIGHT),
            arguments("--jobs", "1", "--json", "out.json"),
            in_second_unit(WRONG),
        ),
        Blame.OURSELVES,
        rf"cells 2: {OURS}",
        also=stored(2),
        full=True,
    ),
)
