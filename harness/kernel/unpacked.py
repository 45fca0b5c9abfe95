# SPDX-License-Identifier: GPL-2.0-only
"""What a compressed file unpacks to, of a size that such a file may have."""

from __future__ import annotations

import lzma
import zlib
from collections.abc import Callable
from pathlib import Path

from harness import given
from harness.errors import ConfigError

# A dictionary of 128 MiB, as the kernel's own build has it, and what xz needs beside it.
_XZ_MEMORY = 192 * given.MIB
# Bytes of zstd's that stand for 8 MiB at most, as a block of its is 128 KiB in 4.
_ZSTD_STEP = 256


def _gzip(data: bytes, most: int) -> bytes:
    unpacker = zlib.decompressobj(wbits=31)
    unpacked = unpacker.decompress(data, most)
    if not unpacker.eof and len(unpacked) < most:
        raise ValueError("it ends too early")
    return unpacked


def _xz(data: bytes, most: int) -> bytes:
    unpacker = lzma.LZMADecompressor(memlimit=_XZ_MEMORY)
    unpacked = unpacker.decompress(data, most)
    if not unpacker.eof and len(unpacked) < most:
        raise ValueError("it ends too early")
    return unpacked


def _zstd(data: bytes, most: int) -> bytes:
    import zstandard

    try:
        unpacker, unpacked = zstandard.ZstdDecompressor().decompressobj(), bytearray()
        for start in range(0, len(data), _ZSTD_STEP):
            unpacked += unpacker.decompress(data[start : start + _ZSTD_STEP])
            if unpacker.eof or len(unpacked) >= most:
                return bytes(unpacked)
    except zstandard.ZstdError as error:
        raise ValueError(str(error)) from error
    raise ValueError("it ends too early")


_FORMS: dict[str, Callable[[bytes, int], bytes]] = {"gzip": _gzip, "xz": _xz, "zstd": _zstd}


def unpacked(path: Path, form: str, data: bytes, most: int) -> bytes:
    """
    `data` of a file, unpacked to at most `most` bytes; what follows it there is left.

    `form` is gzip, xz, which has lzma too, or zstd.  Raises ConfigError for what is damaged or
    larger, before there is more of it.
    """
    try:
        found = _FORMS[form](data, most + 1)
    except (zlib.error, lzma.LZMAError, ValueError) as error:
        raise ConfigError(f"{path} is damaged: {error}.") from error
    if len(found) > most:
        raise given.too_large(path, most, "it unpacks to more")
    return found
