# SPDX-License-Identifier: GPL-2.0-only
"""A kernel image in any of the forms that arm64 has, as the raw Image that boots fastest."""

from __future__ import annotations

import gzip
import lzma
import re
import zlib
from pathlib import Path

from harness import tool
from harness.errors import ConfigError
from harness.kernel.compiler import CROSS_COMPILE

# Documentation/arch/arm64/booting.rst: a magic number at this offset.
_MAGIC_AT = 56
_MAGIC = b"ARM\x64"
_SIZE_AT = 16
_HEADER_SIZE = 64
# e_machine of an ELF file, at this offset.
_MACHINE_AT = 18
_EM_AARCH64 = 183


def is_raw(data: bytes) -> bool:
    """Whether it is what the boot loader jumps to (Documentation/arch/arm64/booting.rst)."""
    return data[_MAGIC_AT : _MAGIC_AT + len(_MAGIC)] == _MAGIC


def _unzstd(data: bytes) -> bytes:
    import zstandard

    try:
        return zstandard.ZstdDecompressor().decompressobj().decompress(data)
    except zstandard.ZstdError as error:
        raise ValueError(str(error)) from error


def _zboot(path: Path, data: bytes) -> bytes:
    """The payload of an EFI zboot image (drivers/firmware/efi/libstub/zboot-header.S)."""
    start = int.from_bytes(data[8:12], "little")
    size = int.from_bytes(data[12:16], "little")
    payload = data[start : start + size]
    kind = data[24:56].partition(b"\0")[0].decode(errors="replace")
    # The size of what was compressed may follow, so trailing bytes are no error.
    try:
        if kind == "gzip":
            return zlib.decompressobj(wbits=31).decompress(payload)
        if kind in ("lzma", "xzkern", "xz"):
            return lzma.LZMADecompressor().decompress(payload)
        if kind.startswith("zstd"):
            return _unzstd(payload)
    except (zlib.error, lzma.LZMAError, ValueError) as error:
        raise ConfigError(f"{path} is damaged: {error}.") from error
    raise ConfigError(
        f"{path} is an EFI zboot image compressed with {kind}, which is not known here.",
        "Give the uncompressed Image, or its vmlinux.",
    )


def _from_elf(path: Path, folder: Path) -> bytes:
    """The Image that is in a vmlinux, as the kernel's own Makefile takes it out."""
    raw = folder / "Image"
    drop = (".note", ".note.gnu.build-id", ".comment")
    words = [f"{CROSS_COMPILE}objcopy", "-O", "binary", *(f"--remove-section={n}" for n in drop)]
    tool.check([*words, "--strip-all", path, raw])
    return raw.read_bytes()


def raw_image(path: Path, folder: Path) -> bytes:
    """
    The raw Image of a raw, gzip or EFI zboot image, or a vmlinux; `folder` is scratch.

    Raises ConfigError for anything else.
    """
    data = path.read_bytes()
    if data[:2] == b"\x1f\x8b":
        try:
            data = gzip.decompress(data)
        except (OSError, EOFError, zlib.error) as error:
            raise ConfigError(f"{path} is damaged: {error}.") from error
    if data[:2] == b"MZ" and data[4:8] == b"zimg":
        data = _zboot(path, data)
    if data[:4] == b"\x7fELF":
        machine = int.from_bytes(data[_MACHINE_AT : _MACHINE_AT + 2], "little")
        if machine == _EM_AARCH64:
            data = _from_elf(path, folder)
    if not is_raw(data):
        raise ConfigError(
            f"{path} is not an arm64 kernel image.",
            "Give an Image (raw, gzip or EFI zboot) or a vmlinux of an arm64 kernel.",
        )
    return data


def banner_release(image: bytes) -> str | None:
    """What uname -r will say, from the banner that every kernel has."""
    match = re.search(rb"Linux version ([^ \0]+) ", image)
    return match[1].decode(errors="replace") if match else None


# An ELF note: the lengths of name and data, NT_GNU_BUILD_ID, the name.
_BUILD_ID = re.compile(rb"\x04\0\0\0\x14\0\0\0\x03\0\0\0GNU\0(.{20})", re.DOTALL)


def build_id(path: Path) -> str:
    """
    What the linker calls an Image, in hexadecimal; empty where it was not asked to.

    The vDSOs lie before its own notes, and have one each.
    """
    found: list[bytes] = _BUILD_ID.findall(path.read_bytes())
    return found[-1].hex() if found else ""


def image_size(path: Path) -> int:
    """Bytes of memory that a raw Image takes, with what is not in the file."""
    with path.open("rb") as file:
        header = file.read(_HEADER_SIZE)
    # Up to v3.16 its header does not say.
    said = int.from_bytes(header[_SIZE_AT : _SIZE_AT + 8], "little")
    return max(said, path.stat().st_size)


def check_raw(path: Path) -> None:
    """Refuse a file that is not a raw arm64 Image."""
    with path.open("rb") as file:
        if not is_raw(file.read(_HEADER_SIZE)):
            raise ConfigError(f"{path} is not an arm64 kernel Image.")
