# SPDX-License-Identifier: GPL-2.0-only
"""What the guest sends."""

from __future__ import annotations

from dataclasses import dataclass

from harness.model.cost import CostRecord
from harness.model.observation import Observation
from harness.model.storm import Storm

# Of a plan's line, so many characters come back.
LINE_SHOWN = 64


@dataclass(frozen=True)
class Introduction:
    """What the guest says of itself, once."""

    release: str
    thread_size: int
    irq_stack_size: int
    # Cases that the module knows.
    cases: int


@dataclass(frozen=True)
class Refusal:
    """The guest could not play a line of the plan."""

    seq: int
    # The plan's line, as the guest read it.
    line: str
    text: str

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Ran:
    """A command that the guest's shell ran."""

    status: int
    # Standard output and error, as they came.
    output: str


@dataclass(frozen=True)
class HostKey:
    """The public key of the guest's SSH server."""

    # Of type ssh-ed25519, as in a known_hosts file.
    key: str


@dataclass(frozen=True)
class DumpRequest:
    """Somebody in the guest wants a dump of it."""


@dataclass(frozen=True)
class DamagedRecord:
    """What is no record, in the place of one."""

    # What is wrong with it.
    sentence: str


Record = (
    Introduction
    | Observation
    | Storm
    | CostRecord
    | Refusal
    | Ran
    | HostKey
    | DumpRequest
    | DamagedRecord
)
