# SPDX-License-Identifier: GPL-2.0-only
"""Unpacks compressed files, up to a size limit."""

from __future__ import annotations

import itertools
import lzma
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

from harness.errors import ConfigError
from harness.host import given

# A dictionary of 128 MiB, as in the kernel's own build, and what xz needs in addition.
_XZ_MEMORY = 192 * given.MIB
# The most bytes that are read, and written, at once.
_IN, _OUT = 1 << 16, given.MIB
# The same for zstd: at most 8 MiB come of this much, since 4 bytes can make a block of 128 KiB.
_ZSTD_IN = 256


def _pieces(data: bytes, size: int) -> Iterator[bytes]:
    return (data[start : start + size] for start in range(0, len(data), size))


def _gzip(data: bytes) -> Iterator[bytes]:
    unpacker = zlib.decompressobj(wbits=31)
    # The empty last piece makes the decompressor return what it has held back.
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
    Return a file's `data` unpacked to at most `most` bytes, without what follows them.

    `form` is gzip, xz (which includes lzma) or zstd.  Raises ConfigError for damaged data, and
    for data that would be larger, which is found out before any of it is kept in memory.
    """
    unpack = _FORMS[form]
    try:
        for size in itertools.accumulate(map(len, unpack(data))):
            if size > most:
                raise given.too_large(path, most, "it unpacks to more")
        return b"".join(unpack(data))
    except (zlib.error, lzma.LZMAError, ValueError) as error:
        raise ConfigError(f"{path} is damaged: {error}.") from error
