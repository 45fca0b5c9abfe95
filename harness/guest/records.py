# SPDX-License-Identifier: GPL-2.0-only
"""The records that the guest sends."""

from __future__ import annotations

from dataclasses import dataclass

from harness.model.cost import CostRecord
from harness.model.observation import Observation
from harness.model.storm import Storm

# How many characters of a plan's line its record has.
LINE_SHOWN = 64


@dataclass(frozen=True)
class Introduction:
    """The first record: which kernel the guest runs, and the sizes of its stacks."""

    release: str
    thread_size: int
    irq_stack_size: int
    # The number of cases in the module.
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
class Proof:
    """What the guest says that it is, when it is asked."""

    seq: int
    # The plan's line, which has what it was asked with.
    line: str
    # Whether its random numbers depend on the seed that came with the question.
    reseeded: bool
    release: str
    # The ELF notes of the kernel, as the guest read them when it booted.
    notes: bytes


@dataclass(frozen=True)
class StreamEnd:
    """The guest has played a plan that came line by line, and takes commands again."""


@dataclass(frozen=True)
class Ran:
    """The result of a command that the guest's shell ran."""

    status: int
    # Standard output and error, in the order in which they were written.
    output: str


@dataclass(frozen=True)
class HostKey:
    """The public key of the guest's SSH server."""

    # Of type ssh-ed25519, as in a known_hosts file.
    key: str


@dataclass(frozen=True)
class DumpRequest:
    """A request from inside the guest for a dump of it."""


@dataclass(frozen=True)
class DamagedRecord:
    """Stands in the place of data that are no record."""

    # What is wrong with them.
    sentence: str

    def __str__(self) -> str:
        return self.sentence


Record = (
    Introduction
    | Observation
    | Storm
    | CostRecord
    | Refusal
    | Proof
    | StreamEnd
    | Ran
    | HostKey
    | DumpRequest
    | DamagedRecord
)
# Records of a line of the plan.
Played = Observation | Storm | CostRecord | Refusal | Proof
