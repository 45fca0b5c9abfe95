# SPDX-License-Identifier: GPL-2.0-only
"""The guest's records as text, for people."""

from __future__ import annotations

from collections.abc import Iterator

from harness import printable
from harness.guest.fields import FieldError, lines
from harness.guest.protocol import HEAD, MAGIC
from harness.model.context import Context


def as_text(said: bytes) -> Iterator[str]:
    """Yield what a guest has sent as lines for people, with a blank one after each record."""
    at = 0
    while at < len(said):
        if not said.startswith(MAGIC, at) or at + HEAD.size > len(said):
            end = said.find(b"\n", at)
            end = len(said) if end < 0 else end
            yield printable.shown(said[at:end].decode(errors="replace"))
            at = end + 1
            continue
        _, size, _ = HEAD.unpack_from(said, at)
        try:
            for word, fields in lines(said[at + HEAD.size : at + HEAD.size + size]):
                yield " ".join((word, *(f"{name}={_value(v)}" for name, v in fields.items())))
        except FieldError as error:
            yield f"The record has {error}."
        yield ""
        at += HEAD.size + size


def _value(value: object) -> str:
    match value:
        case None:
            return ""
        case bytes():
            return value.hex()
        case Context():
            return value.value
        # Small numbers count something, large ones are addresses.
        case int() if value >= 1 << 32:
            return f"{value:#x}"
        case bool():
            return str(int(value))
    return str(value)
