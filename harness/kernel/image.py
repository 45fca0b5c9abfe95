# SPDX-License-Identifier: GPL-2.0-only
"""Reads a kernel image in any of arm64's forms, as the raw Image, which boots fastest."""

from __future__ import annotations

import mmap
import re
from pathlib import Path

from harness.errors import ConfigError
from harness.host import given, tool
from harness.host.unpacked import unpacked
from harness.toolchain.compiler import CROSS_COMPILE

# An Image with every driver built in has half of the first; a vmlinux with debug information
# may be larger, and is never read whole.
SIZE_MAX, FILE_MAX = 512 * given.MIB, 16384 * given.MIB

# Documentation/arch/arm64/booting.rst: a magic number at this offset.
_MAGIC_AT = 56
_MAGIC = b"ARM\x64"
_SIZE_AT = 16
_HEADER_SIZE = 64
# e_machine of an ELF file, at this offset.
_MACHINE_AT = 18
_EM_AARCH64 = 183


def is_raw(data: bytes) -> bool:
    """Return whether data begin a raw Image (Documentation/arch/arm64/booting.rst)."""
    return data[_MAGIC_AT : _MAGIC_AT + len(_MAGIC)] == _MAGIC


def stub() -> bytes:
    """Return an Image of nothing but its header, for what wants a kernel that does not run."""
    header = bytearray(_HEADER_SIZE)
    header[_SIZE_AT : _SIZE_AT + 8] = _HEADER_SIZE.to_bytes(8, "little")
    header[_MAGIC_AT : _MAGIC_AT + len(_MAGIC)] = _MAGIC
    return bytes(header)


def _zboot(path: Path, data: bytes) -> bytes:
    """Return the payload of an EFI zboot image (drivers/firmware/efi/libstub/zboot-header.S)."""
    start = int.from_bytes(data[8:12], "little")
    size = int.from_bytes(data[12:16], "little")
    payload = data[start : start + size]
    kind = data[24:56].partition(b"\0")[0].decode(errors="replace")
    form = "xz" if kind in ("lzma", "xzkern") else "zstd" if kind.startswith("zstd") else kind
    if form not in ("gzip", "xz", "zstd"):
        raise ConfigError(
            f"{path} is an EFI zboot image compressed with {kind}, which is not known here.",
            "Give the uncompressed Image, or its vmlinux.",
        )
    # The uncompressed size may follow the payload, so trailing bytes are no error.
    return unpacked(path, form, payload, SIZE_MAX)


def _is_elf(data: bytes) -> bool:
    """Return whether data begin an ELF file for arm64."""
    machine = int.from_bytes(data[_MACHINE_AT : _MACHINE_AT + 2], "little")
    return data[:4] == b"\x7fELF" and machine == _EM_AARCH64


def _from_elf(path: Path, vmlinux: Path, folder: Path) -> bytes:
    """Return the Image in a vmlinux, which `path` is or contains, as the kernel's Makefile does."""
    raw = folder / "Image"
    drop = (".note", ".note.gnu.build-id", ".comment")
    words = [f"{CROSS_COMPILE}objcopy", "-O", "binary", *(f"--remove-section={n}" for n in drop)]
    tool.check([*words, "--strip-all", vmlinux, raw])
    # objcopy fills the gap between two distant sections.
    if raw.stat().st_size > SIZE_MAX:
        raise given.too_large(path, SIZE_MAX, "its Image has more")
    return raw.read_bytes()


def raw_image(path: Path, folder: Path) -> bytes:
    """
    Return the raw Image of a raw, gzip or EFI zboot image, or of a vmlinux.

    `folder` is for temporary files.  Raises ConfigError for any other file, and for a larger one.
    """
    given.check(path, FILE_MAX)
    with path.open("rb") as file:
        if _is_elf(file.read(_HEADER_SIZE)):
            return _from_elf(path, path, folder)
    data = given.read(path, SIZE_MAX)
    if data[:2] == b"\x1f\x8b":
        data = unpacked(path, "gzip", data, SIZE_MAX)
    if data[:2] == b"MZ" and data[4:8] == b"zimg":
        data = _zboot(path, data)
    if _is_elf(data):
        vmlinux = folder / "vmlinux"
        vmlinux.write_bytes(data)
        data = _from_elf(path, vmlinux, folder)
        vmlinux.unlink()
    if not is_raw(data):
        raise ConfigError(
            f"{path} is not an arm64 kernel image.",
            "Give an Image (raw, gzip or EFI zboot) or a vmlinux of an arm64 kernel.",
        )
    return data


def banner_release(image: bytes | mmap.mmap) -> str | None:
    """Return what uname -r will print, from the banner that every kernel has, or None."""
    match = re.search(rb"Linux version ([^ \0]+) ", image)
    return match[1].decode(errors="replace") if match else None


# An ELF note: the lengths of name and data, NT_GNU_BUILD_ID, the name.
_BUILD_ID = re.compile(rb"\x04\0\0\0\x14\0\0\0\x03\0\0\0GNU\0(.{20})", re.DOTALL)


def build_id(path: Path) -> str:
    """
    Return an Image's build ID in hexadecimal, empty where the linker made none.

    The kernel's own ID is the last one: each vDSO has one, too, and lies before it.
    """
    found: list[bytes] = _BUILD_ID.findall(path.read_bytes())
    return found[-1].hex() if found else ""


def image_size(path: Path) -> int:
    """Return the bytes of memory that a raw Image takes, including what is not in the file."""
    with path.open("rb") as file:
        header = file.read(_HEADER_SIZE)
    # Up to v3.16 the header does not have the size.
    size = int.from_bytes(header[_SIZE_AT : _SIZE_AT + 8], "little")
    return max(size, path.stat().st_size)


def check_raw(path: Path) -> None:
    """Raise ConfigError for a file that is not a raw arm64 Image."""
    with path.open("rb") as file:
        if not is_raw(file.read(_HEADER_SIZE)):
            raise ConfigError(f"{path} is not an arm64 kernel Image.")
