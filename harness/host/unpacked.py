# SPDX-License-Identifier: GPL-2.0-only
"""What a compressed file unpacks to, of a size that such a file may have."""

from __future__ import annotations

import itertools
import lzma
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

from harness.errors import ConfigError
from harness.host import given

# A dictionary of 128 MiB, as the kernel's own build has it, and what xz needs beside it.
_XZ_MEMORY = 192 * given.MIB
# What is taken in at once, and comes out.
_IN, _OUT = 1 << 16, given.MIB
# Of zstd, so much stands for 8 MiB at most, as a block of its is 128 KiB in 4 bytes.
_ZSTD_IN = 256


def _pieces(data: bytes, size: int) -> Iterator[bytes]:
    return (data[start : start + size] for start in range(0, len(data), size))


def _gzip(data: bytes) -> Iterator[bytes]:
    unpacker = zlib.decompressobj(wbits=31)
    # What it holds back comes after the last piece.
    for rest in itertools.chain(_pieces(data, _IN), [b""]):
        while out := unpacker.decompress(rest, _OUT):
            yield out
            rest = unpacker.unconsumed_tail
        if unpacker.eof:
            return
    raise ValueError("it ends too early")


def _xz(data: bytes) -> Iterator[bytes]:
    unpacker = lzma.LZMADecompressor(memlimit=_XZ_MEMORY)
    for piece in _pieces(data, _IN):
        yield unpacker.decompress(piece, _OUT)
        while not unpacker.needs_input and not unpacker.eof:
            yield unpacker.decompress(b"", _OUT)
        if unpacker.eof:
            return
    raise ValueError("it ends too early")


def _zstd(data: bytes) -> Iterator[bytes]:
    import zstandard

    unpacker = zstandard.ZstdDecompressor().decompressobj()
    for piece in _pieces(data, _ZSTD_IN):
        try:
            yield unpacker.decompress(piece)
        except zstandard.ZstdError as error:
            raise ValueError(str(error)) from error
        if unpacker.eof:
            return
    raise ValueError("it ends too early")


_FORMS: dict[str, Callable[[bytes], Iterator[bytes]]] = {"gzip": _gzip, "xz": _xz, "zstd": _zstd}


def unpacked(path: Path, form: str, data: bytes, most: int) -> bytes:
    """
    `data` of a file, unpacked to at most `most` bytes; what follows it there is left.

    `form` is gzip, xz, which has lzma too, or zstd.  Raises ConfigError for what is damaged, or
    larger: that is known before any of it is kept.
    """
    unpack = _FORMS[form]
    try:
        for size in itertools.accumulate(map(len, unpack(data))):
            if size > most:
                raise given.too_large(path, most, "it unpacks to more")
        return b"".join(unpack(data))
    except (zlib.error, lzma.LZMAError, ValueError) as error:
        raise ConfigError(f"{path} is damaged: {error}.") from error
