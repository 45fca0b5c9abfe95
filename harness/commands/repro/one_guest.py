# SPDX-License-Identifier: GPL-2.0-only
"""Runs that hand their guest to the user: to a prompt, or to a debugger."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from contextlib import ExitStack, nullcontext

from harness.commands import shell
from harness.commands.progress import bars
from harness.commands.repro.request import Debugging, ReproRequest
from harness.errors import ConfigError
from harness.run import job
from harness.run.job import Prepared
from harness.run.result import Result
from harness.steps import notice, progress

Report = Callable[[Result], None]


def prompted(request: ReproRequest, report: Report) -> Result:
    """Run the plays in a guest, and then open a shell in it."""

    def prepared() -> Prepared:
        return _image(request, job.prepare_shell)

    return shell.prompt(request.catalog, prepared, request.shares, report)


def debugged(request: ReproRequest, debugging: Debugging, report: Report) -> bool:
    """Play once under the user's own debugger; return whether it was played, and as predicted."""
    from harness.inspect import debug
    from harness.inspect.guest import booted
    from harness.vm.gdb import GDB
    from harness.vm.machine import Config
    from harness.vm.stub import Door

    with ExitStack() as resources:
        with bars():
            # Open the port first: if it is taken, nothing is built in vain.
            door = Door(debugging.port, notice) if debugging.port else None
            resources.enter_context(door or nullcontext())
            image = _image(request, job.prepare)
            progress("booting", 0, 1)
            config = Config(gdb=True, kaslr=debugging.kaslr)
            guest = resources.enter_context(booted(image.kernel, image.modules, config))
            (play,) = image.plays
            vmlinux = debugging.vmlinux or debug.vmlinux_of(image.kernel)
            stopped = debug.Debugged(guest, vmlinux, door)
            script = stopped.stage(play)
        if debugging.port is None:
            stopped.run_gdb(script)
        else:
            print(f"{GDB} -x {shlex.quote(str(script))}", flush=True)
            print("The guest waits for it; Ctrl-C here ends the guest.", file=sys.stderr)
            stopped.wait(lambda: print("The play is over; the guest stays.", file=sys.stderr))
        outcome = stopped.outcome
        if outcome:
            report(guest.result((outcome,), planned=1))
        stopped.check()
    return outcome is not None and outcome.agrees


def _image(request: ReproRequest, prepare: job.Prepare) -> Prepared:
    """The one image that all plays need; raises ConfigError where they need several."""
    needed = job.images(request.variants, request.kernel, exact=request.exact)
    if len(needed) > 1:
        raise ConfigError(
            f"These variants need {len(needed)} images of the kernel, and only one guest can have"
            " a shell or a debugger.",
            "Choose among them with --variant.",
        )
    target = request.target(request.specs[0], request.patched)
    (image,) = job.prepare_plan(target, request.catalog, request.plan, prepare=prepare)
    return image
