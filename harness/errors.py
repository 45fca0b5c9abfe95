# SPDX-License-Identifier: GPL-2.0-only
"""
Errors that a caller handles differently, and the exit status each leads to.

A kernel that dies or hangs is a result, KernelFault, and never retried; a failure of our
own tools is an InfrastructureError, and an error in this program an OwnFault.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable

from harness.printable import shown


def nearest(name: str, known: Iterable[str]) -> str:
    """Return a sentence with the nearest names, to end an error with, or ""."""
    import difflib

    close = difflib.get_close_matches(name, list(known), n=3, cutoff=0.4)
    return f" The nearest: {', '.join(close)}." if close else ""


class Exit(enum.IntEnum):
    """Exit statuses of the command."""

    # All verdicts as predicted.
    AGREES = 0
    # At least one verdict differs.
    DIFFERS = 1
    # Usage or configuration.
    USAGE = 2
    # The infrastructure failed or the run is incomplete.
    INFRASTRUCTURE = 3
    # The program's own code is at fault.
    OWN_FAULT = 4
    # The kernel cannot be judged: it does not build, or does not boot.  git
    # bisect run skips such a revision.
    UNJUDGED = 125


class HarnessError(Exception):
    """An error with a sentence and a hint at what to do next; either may quote outside text."""

    exit_status = Exit.INFRASTRUCTURE

    def __init__(self, sentence: str, hint: str = "") -> None:
        self.sentence = shown(sentence)
        self.hint = shown(hint)
        super().__init__(self.sentence)

    def __str__(self) -> str:
        return f"{self.sentence}\n{self.hint}" if self.hint else self.sentence


class ConfigError(HarnessError):
    """What the user asked for does not exist or is not possible."""

    exit_status = Exit.USAGE


class InfrastructureError(HarnessError):
    """Our own tools failed, not the kernel; such a run may be tried again."""


class ArchiveError(InfrastructureError):
    """The package archive does not have what is needed."""


class UntrustedArchiveError(ArchiveError):
    """A file from the archive does not match its signature or checksum."""


class BuildError(HarnessError):
    """The test modules do not compile for a kernel."""

    exit_status = Exit.USAGE


class UnfitTree(HarnessError):
    """A kernel cannot be judged: it, or modules for it, do not build; a patch does not apply."""

    exit_status = Exit.UNJUDGED


class UnprovedStore(BuildError):
    """The disassembly shows a handler's store in another place than the model has it."""

    def __init__(self, case: str, sentence: str, hint: str) -> None:
        super().__init__(f"case '{case}': {sentence}", hint)
        self.case = case


class MachineError(InfrastructureError):
    """QEMU did not start, or ended without the guest powering off."""


class UnfitEmulator(MachineError):
    """QEMU is too old, or cannot use its sandbox; trying again does not help."""


class KernelFault(HarnessError):
    """The kernel died or hangs."""

    exit_status = Exit.DIFFERS


class KernelDied(KernelFault):
    """The kernel died of a panic, an oops or a BUG."""


class KernelHung(KernelFault):
    """Nothing in the guest answers any more."""


class TestHung(KernelFault):
    """A case or a command does not end, while the rest of the guest still runs."""

    __test__ = False  # not for pytest to collect


class OwnFault(HarnessError):
    """An unforeseen error in our own code; `__cause__` is the error."""

    exit_status = Exit.OWN_FAULT


def is_foreseen(error: BaseException) -> bool:
    """Return whether an exception is about the program's surroundings, not a fault of its own."""
    return isinstance(error, HarnessError | OSError | MemoryError)


class Stopped(KeyboardInterrupt):
    """The user ended a command; a sentence says what is kept of it, a hint how to continue."""

    def __init__(
        self, sentence: str, hint: str = "", exit_status: Exit = Exit.INFRASTRUCTURE
    ) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.hint = hint
        self.exit_status = exit_status
