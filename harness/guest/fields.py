# SPDX-License-Identifier: GPL-2.0-only
"""The lines of the guest's records, each a word and fields of bounded types."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping
from typing import Any

from harness.model.context import Context


class FieldError(Exception):
    """What the module cannot have written; the text is the end of a sentence about it."""


# Values by field name, each of the type in LINES.
Fields = Mapping[str, Any]
# Turns a field's text into its value; raises ValueError.
Type = Callable[[str], Any]

# An ed25519 key of SSH's, which is 51 bytes (RFC 8709, section 4).
_HOST_KEY = b"\0\0\0\x0bssh-ed25519\0\0\0\x20"
_HOST_KEY_SIZE = 51


def _matching(pattern: str, convert: Callable[[str], Any]) -> Type:
    """Return a type for texts that match `pattern`, whose values `convert` makes."""
    compiled = re.compile(pattern)

    def read(text: str) -> Any:
        if not compiled.fullmatch(text):
            raise ValueError(text)
        return convert(text)

    return read


def _hexadecimal(text: str) -> int:
    return int(text, 16)


def _octets(text: str) -> bytes | None:
    """Return the bytes, or None for an empty text, which means that they were not recorded."""
    return bytes.fromhex(text) or None


def _base64(text: str) -> bytes:
    return base64.b64decode(text, validate=True)


def _output(text: str) -> str:
    return _base64(text).decode(errors="replace")


def _host_key(text: str) -> str:
    key = _base64(text)
    if len(key) != _HOST_KEY_SIZE or not key.startswith(_HOST_KEY):
        raise ValueError(text)
    return text


def _long(text: str) -> int:
    value = int(text)
    if not -(1 << 63) <= value < 1 << 63:
        raise ValueError(text)
    return value


# A C long.
number = _matching(r"-?\d{1,19}", _long)
positive = _matching(r"[1-9]\d{0,17}", int)
# The number of a play, of an argument, of a CPU.
small = _matching(r"\d{1,9}", int)
# The size of a stack in bytes; the largest stack that arm64 can be configured with has 128 KiB.
size = _matching(r"\d{1,6}", int)
address = _matching(r"[0-9a-f]{1,16}", _hexadecimal)
flag = _matching(r"[01]", lambda text: text == "1")
octets = _matching(r"(?:[0-9a-f]{2})*", _octets)
text = _matching(r"[ -~]*", str)
word = _matching(r"[!-~]{1,64}", str)
# Bytes of a stack, or -1; "unknown" from a kernel that follows its own policy.
known = _matching(r"unknown|-?\d{1,6}", lambda text: None if text == "unknown" else int(text))
checksum = _matching(r"[0-9a-f]{8}", _hexadecimal)
status = _matching(r"\d{1,3}", int)

_COUNTS = dict.fromkeys(("hits", "handler", "target", "missed", "skipped"), number)
_MOMENTS = dict.fromkeys(("before", "after", "seen"), octets)
LINES: Mapping[str, Mapping[str, Type]] = {
    "guest": {"release": word, "thread_size": size, "irq_stack_size": size, "cases": small},
    "play": {"seq": small, "line": text},
    "stack": {"sp": address, "fp": address, "top": address, "irq": flag, "context": Context},
    "count": _COUNTS,
    "save": {"saved": known, "overflow": known},
    "area": _MOMENTS,
    "arg": {"index": small, "at": address, **_MOMENTS},
    "object": {"node": address, "at": address, **_MOMENTS},
    "nested": {**_COUNTS, "sent": octets, "seen": octets},
    "frame": {"passed": octets, "arrived": octets, **_MOMENTS},
    "storm": dict.fromkeys(("milliseconds", "hits", "missed", "skipped"), number),
    "caller": {
        "cpu": small,
        "context": Context,
        **dict.fromkeys(("calls", "handler", "target", "corrupt", "wrong", "at_once"), number),
    },
    "cost": {
        **dict.fromkeys(("hits", "handler", "target", "bare", "probed"), number),
        **dict.fromkeys(("frequency", "instructions"), positive),
        "ticks": number,
    },
    "taint": {"before": address, "after": address},
    "error": {"text": text},
    "errno": {"value": number},
    "end": {"seq": small, "crc": checksum},
    "proof": {"release": word, "notes": _base64},
    "stream": {"ended": small},
    "run": {"status": status, "output": _output},
    "sshd": {"key": _host_key},
    "dump": {"wanted": small},
}
# The values of these fields run to the end of their line.
_LONG = ("line", "text")
# How many characters of an invalid value an error message has.
_SHOWN = 40


def parse(line: bytes) -> tuple[str, Fields]:
    """Return a line's word and its values; raise FieldError unless it has its fields, in order."""
    try:
        first, _, rest = line.decode("ascii").partition(" ")
    except UnicodeDecodeError as error:
        raise FieldError("bytes that are not ASCII") from error
    types = LINES.get(first)
    if types is None:
        raise FieldError(f"an unknown line {first[:_SHOWN]!a}")
    values: dict[str, Any] = {}
    for name, convert in types.items():
        found, equals, rest = rest.partition("=")
        if found in values:
            raise FieldError(f"'{found}' twice in '{first}'")
        if found != name or not equals:
            raise FieldError(f"{found[:_SHOWN]!a} in place of '{name}' in '{first}'")
        value, _, rest = (rest, "", "") if name in _LONG else rest.partition(" ")
        try:
            values[name] = convert(value)
        except ValueError as error:
            raise FieldError(f"{name}={value[:_SHOWN]!a} in '{first}'") from error
    if rest:
        raise FieldError(f"{rest[:_SHOWN]!a} too much in '{first}'")
    return first, values
