# SPDX-License-Identifier: GPL-2.0-only
"""An ftrace redirect to a function with the same prototype; see probe-targets/redirect.c."""

from __future__ import annotations

from collections.abc import Sequence

from harness.inspect.guest import Guest
from harness.model.case import Case
from harness.model.observation import Look, Observation
from harness.tracing.function import Attachment, Function, Values

_FILE = "/sys/kernel/debug/jprobe-harness/redirect"
_WORD = 8
_UNSEEN = Look()


class Redirect(Attachment):
    """All functions at once."""

    def attach(self, guest: Guest, functions: Sequence[Function]) -> list[str]:
        ran = guest.run(f"echo 1 >{_FILE}")
        error = ran.output.strip().rpartition(": ")[2] if ran.status else ""
        return [error] * len(functions)

    def detach(self, guest: Guest) -> None:
        guest.run(f"echo 0 >{_FILE}")

    def values(
        self, guest: Guest, functions: Sequence[Function], observed: Sequence[Observation | None]
    ) -> list[Values]:
        return [
            tuple(_values(one.case, saw)) if saw else () for one, saw in zip(functions, observed)
        ]


def _values(case: Case, observation: Observation) -> list[bytes | None]:
    found: list[bytes | None] = []
    for index, argument in enumerate(case.arguments[: case.named]):
        look = observation.arguments.get(index, _UNSEEN)
        # Of a box, what the pointer in it points at was kept.
        # A jprobe's handler may have changed it since.
        same = look.before == look.seen or observation.counts.handler
        boxed = argument.boxed and look.before is not None and same
        found.append(look.at.to_bytes(_WORD, "little") if boxed else look.before)
    return found
