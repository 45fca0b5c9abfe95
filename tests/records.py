# SPDX-License-Identifier: GPL-2.0-only
"""The guest's records, as tests take them apart and change them."""

from __future__ import annotations

import re
import zlib


def split(said: bytes) -> list[bytes]:
    """The introduction and each record of what a guest said, every one with its last line."""
    return re.findall(rb".*?^end [^\n]*\n", said, re.MULTILINE | re.DOTALL)


def sealed(record: bytes) -> bytes:
    """A record with the checksum of what it is now."""
    body, newline, end = record.rpartition(b"\nend ")
    checksum = b"crc=%08x" % zlib.crc32(body + b"\n")
    return body + newline + re.sub(rb"crc=\w+", checksum, end)


def numbered(record: bytes, number: int) -> bytes:
    """A record in another place of a plan, from 1."""
    return sealed(re.sub(rb"^(play|end) seq=\d+", rb"\1 seq=%d" % number, record, flags=re.M))
