# SPDX-License-Identifier: GPL-2.0-only
"""Contexts: where a probed function is called, and what that means for the stack."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Context(enum.Enum):
    """Where the probed function is called; in the order of enum probe_context in C."""

    PROCESS = "process"
    # The same, far below the stack's top.
    DEEP = "deep"
    # In a kernel thread, the caller's frame being the topmost of the stack.
    KTHREAD_TOP = "kthread-top"
    SOFTIRQ = "softirq"
    HARDIRQ = "hardirq"

    @property
    def traits(self) -> Traits:
        """What this context means for the stack."""
        return _TRAITS[self]


@dataclass(frozen=True, kw_only=True)
class Traits:
    """What a context means for the stack; all sizes are in bytes."""

    # Whether the function runs on an interrupt stack, where the kernel has one; None where that
    # depends on the kernel's version and on what raised the softirq.
    on_irq_stack: bool | None
    # Limits for the depth of a hit, the distance between SP and the stack's top; None for no limit.
    least_depth: int | None = None
    most_depth: int | None = None
    # Assumptions for predictions without a guest: the distance from the end of the case's own
    # frames to the stack's top, about as in Debian's 6.1, and which stack it is.
    assumed_depth: int
    assumed_on_irq_stack: bool
    # Limits for all arguments of a case together, and of a case that is drawn at random.
    arguments_max: int = 4096
    drawn_arguments_max: int = 1024
    # Limit for the caller's frame of a case that is sent to the guest as data.
    frame_max: int = 4096


_TRAITS = {
    Context.PROCESS: Traits(on_irq_stack=False, assumed_depth=1024, assumed_on_irq_stack=False),
    Context.DEEP: Traits(
        on_irq_stack=False,
        least_depth=8192,
        most_depth=16384,
        assumed_depth=12288,
        assumed_on_irq_stack=False,
        arguments_max=1024,
        drawn_arguments_max=512,
        frame_max=1536,
    ),
    Context.KTHREAD_TOP: Traits(
        on_irq_stack=False,
        least_depth=0,
        most_depth=1024,
        assumed_depth=0,
        assumed_on_irq_stack=False,
        arguments_max=256,
        drawn_arguments_max=160,
        frame_max=512,
    ),
    # On an arm64 kernel before 6.1 it runs on the stack of the task that it interrupts.
    Context.SOFTIRQ: Traits(on_irq_stack=None, assumed_depth=320, assumed_on_irq_stack=True),
    Context.HARDIRQ: Traits(on_irq_stack=True, assumed_depth=320, assumed_on_irq_stack=True),
}
