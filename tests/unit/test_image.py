# SPDX-License-Identifier: GPL-2.0-only
"""Kernel images in all their forms, and files that are no kernel image."""

from __future__ import annotations

import gzip
import lzma
import struct
from pathlib import Path

import pytest
import zstandard

from harness.errors import ConfigError
from harness.kernel import image
from harness.kernel.image import banner_release, build_id, check_raw, raw_image

RAW = bytes(56) + b"ARM\x64" + bytes(40) + b"Linux version 6.1.0-test (me) #1\0"


def zboot(kind: bytes, payload: bytes) -> bytes:
    """Return an EFI zboot image: the payload's place, then its compression's name."""
    head = struct.pack("<4s4sII8s32s", b"MZ", b"zimg", 64, len(payload), b"", kind)
    return head.ljust(64, b"\0") + payload + b"trailer"


@pytest.mark.parametrize(
    "data",
    [
        RAW,
        gzip.compress(RAW),
        zboot(b"gzip", gzip.compress(RAW)),
        zboot(b"zstd22", zstandard.compress(RAW)),
        zboot(b"lzma", lzma.compress(RAW, lzma.FORMAT_ALONE)),
        gzip.compress(zboot(b"xzkern", lzma.compress(RAW))),
    ],
    ids=["raw", "gzip", "zboot-gzip", "zboot-zstd", "zboot-lzma", "gzip-zboot-xz"],
)
def test_every_form_is_made_raw(data: bytes, tmp_path: Path) -> None:
    image = tmp_path / "Image"
    image.write_bytes(data)
    assert raw_image(image, tmp_path) == RAW


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (bytes(56) + b"HdrS" + bytes(100), "is not an arm64 kernel image"),
        (b"", "is not an arm64 kernel image"),
        (gzip.compress(RAW)[:40], "is damaged"),
        (zboot(b"gzip", b"no gzip"), "is damaged"),
        (zboot(b"lzma", b"no lzma"), "is damaged"),
        (zboot(b"zstd22", b"no zstd"), "is damaged"),
        (zboot(b"lz4", b""), "compressed with lz4"),
        # An ELF file of x86-64.
        (b"\x7fELF" + bytes(14) + b"\x3e\x00" + bytes(100), "is not an arm64 kernel image"),
    ],
    ids=["bzimage", "empty", "cut", "no-gzip", "no-lzma", "no-zstd", "unknown", "elf-x86"],
)
def test_what_does_not_boot(data: bytes, message: str, tmp_path: Path) -> None:
    image = tmp_path / "Image"
    image.write_bytes(data)
    with pytest.raises(ConfigError, match=message):
        raw_image(image, tmp_path)


def test_an_image_of_another_architecture(tmp_path: Path) -> None:
    image = tmp_path / "bzImage"
    image.write_bytes(bytes(56) + b"HdrS" + bytes(100))
    with pytest.raises(ConfigError, match="is not an arm64 kernel Image"):
        check_raw(image)
    image.write_bytes(RAW)
    check_raw(image)


def test_the_release_in_the_banner() -> None:
    assert banner_release(RAW) == "6.1.0-test"
    assert banner_release(b"nothing") is None


def test_the_build_id_is_the_kernels_own(tmp_path: Path) -> None:
    def note(octet: int) -> bytes:
        return struct.pack("<3I", 4, 20, 3) + b"GNU\0" + bytes([octet]) * 20

    image = tmp_path / "Image"
    image.write_bytes(RAW + note(0x11) + bytes(8) + note(0x22) + RAW)
    assert build_id(image) == "22" * 20
    image.write_bytes(RAW)
    assert build_id(image) == ""


def test_a_stub_is_an_image(tmp_path: Path) -> None:
    (tmp_path / "stub").write_bytes(image.stub())
    assert image.is_raw(image.stub())
    assert image.image_size(tmp_path / "stub") == len(image.stub())
