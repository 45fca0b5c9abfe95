# SPDX-License-Identifier: GPL-2.0-only
"""Take the guest's records apart, and change them."""

from __future__ import annotations

import re
import zlib


def split(said: bytes) -> list[bytes]:
    """Return the introduction and each record of what a guest sent, with their last lines."""
    return re.findall(rb".*?^end [^\n]*\n", said, re.MULTILINE | re.DOTALL)


def sealed(record: bytes) -> bytes:
    """Return a record with its checksum made right."""
    body, newline, end = record.rpartition(b"\nend ")
    checksum = b"crc=%08x" % zlib.crc32(body + b"\n")
    return body + newline + re.sub(rb"crc=\w+", checksum, end)


def numbered(record: bytes, number: int) -> bytes:
    """Return a record with another number in the plan, from 1."""
    return sealed(re.sub(rb"^(play|end) seq=\d+", rb"\1 seq=%d" % number, record, flags=re.M))
