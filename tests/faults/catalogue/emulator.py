# SPDX-License-Identifier: GPL-2.0-only
"""What happens to QEMU."""

from __future__ import annotations

import signal

from tests.faults.catalogue.guest import SOON, WARNING
from tests.faults.fault import Blame, Fault
from tests.faults.inject import arguments, both
from tests.faults.replay import (
    EACH_BOOT,
    broken_off,
    emulated,
    ends,
    killed,
    qmp,
    say,
    wait,
)

TERMINATED = say("qemu-system-aarch64: terminating on signal 15 from pid 1 (init)\n")

FAULTS = (
    Fault(
        "a QEMU that is killed once",
        broken_off(killed(signal.SIGKILL)),
        Blame.MACHINE,
        "killed by SIGKILL",
        status=0,
    ),
    Fault(
        "a QEMU that is ended once",
        broken_off(TERMINATED, ends()),
        Blame.MACHINE,
        "QEMU was ended by a signal",
        status=0,
    ),
    Fault(
        "a QEMU that fails once",
        broken_off(ends(1)),
        Blame.MACHINE,
        "QEMU ended with status 1",
        status=0,
        full=True,
    ),
    Fault(
        "a QEMU that is stopped once",
        both(SOON, broken_off(killed(signal.SIGSTOP))),
        Blame.MACHINE,
        "QEMU was stopped by a signal",
        status=0,
    ),
    Fault(
        "a QEMU that does not answer once",
        both(SOON, broken_off(wait())),
        Blame.MACHINE,
        "QEMU itself does not answer",
        status=0,
        full=True,
    ),
    Fault(
        "a QEMU that stops its guest once",
        both(SOON, broken_off(qmp("internal-error"), wait())),
        Blame.MACHINE,
        "whose state is 'internal-error'",
        status=0,
        full=True,
    ),
    Fault(
        "a QEMU that is killed each time",
        emulated(lambda recording: [killed(signal.SIGKILL)], EACH_BOOT),
        Blame.MACHINE,
        "SIGKILL",
    ),
    Fault(
        "a QEMU that fails under git bisect",
        both(emulated(lambda recording: [ends(1)], EACH_BOOT), arguments("--bisect")),
        Blame.MACHINE,
        "QEMU",
        status=128,
        full=True,
    ),
    Fault(
        "a QEMU that opens no line",
        emulated(lambda recording: [say("no such machine\n"), ends(1)], EACH_BOOT),
        Blame.MACHINE,
        "no such machine",
        full=True,
    ),
    Fault(
        "a QEMU that is killed after a complaint of the kernel's",
        broken_off(killed(signal.SIGKILL), console=WARNING),
        Blame.KERNEL,
        "WARNING: WARNING: CPU: 0",
        kept=3,
    ),
)
