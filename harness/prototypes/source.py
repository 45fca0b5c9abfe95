# SPDX-License-Identifier: GPL-2.0-only
"""Finds the BTF of a kernel and of its modules, in the files that boot it."""

from __future__ import annotations

import mmap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from harness.errors import ConfigError
from harness.host import cache, given, temporary, tool
from harness.kernel.image import FILE_MAX, SIZE_MAX, banner_release, is_raw, raw_image
from harness.kernel.kernel import Bootable, read_module
from harness.prototypes import kallsyms
from harness.prototypes.btf import Btf, UnreadableBtf, found_in
from harness.prototypes.types import Prototype, Types
from harness.steps import progress, step

# What pahole may take for a vmlinux with all of a distribution's drivers.
PAHOLE_SECONDS = 900
_ELF = b"\x7fELF"
_NEXT = (
    "Configure it with CONFIG_DEBUG_INFO_BTF=y, or give the vmlinux of a kernel with"
    " CONFIG_DEBUG_INFO=y."
)


@dataclass(frozen=True)
class Files:
    """The files of a kernel that may have its prototypes."""

    # The spec by which the user named it.
    spec: str
    # Its images, the best first: a raw, gzip or EFI zboot image, or a vmlinux.
    images: tuple[Path, ...]
    # The folder below which its modules lie, or the file that kept_modules() returned for it.
    modules: Path | None = None
    # As uname -r prints it, if known.
    release: str = ""
    # Differs from the key of other modules; empty where nothing is kept of them.
    key: str = ""


@dataclass(frozen=True)
class Prototypes:
    """The prototypes of a kernel and its modules."""

    # The spec by which the user named the kernel, and its release.
    spec: str
    release: str
    # Where they come from, in words.
    source: str
    kernel: Types
    modules: tuple[Types, ...]
    # The names of the modules whose functions are included; why the others' are not.
    read: tuple[str, ...]
    unread: Mapping[str, str]
    # How many functions there are.
    total: int
    # The functions in the image's own symbols by name; None where it has none that are known.
    symbols: frozenset[str] | None = field(repr=False)

    def __iter__(self) -> Iterator[Prototype]:
        """Yield those of the kernel, then those of its modules; raises ConfigError."""
        try:
            for types in (self.kernel, *self.modules):
                yield from types.prototypes()
        except UnreadableBtf as error:
            raise _unreadable(self.source, error) from error


def of_kernel(kernel: Bootable) -> Files:
    """Return the files of a kernel that was resolved."""
    vmlinux = kernel.modules / "vmlinux"
    images = (kernel.image, *([vmlinux] if vmlinux.is_file() else []))
    return Files(kernel.spec, images, kernel.modules, kernel.release, kernel.key)


def of_path(spec: str, path: Path) -> Files | None:
    """Return the files of an image or of a folder that a kernel was built in; None for others."""
    if path.is_file():
        return Files(spec, (path,))
    names = (path / "vmlinux", path / "arch/arm64/boot/Image")
    images = tuple(name for name in names if name.is_file())
    return Files(spec, images, path) if images else None


def read(files: Files) -> Prototypes:
    """Read a kernel's prototypes; raises ConfigError where it has none that are understood."""
    with step(f"read the prototypes of {files.spec}"):
        data, source, raw = _kernel(files)
        try:
            btf = Btf(data)
        except UnreadableBtf as error:
            raise _unreadable(source, error) from error
        if not btf.functions:
            raise ConfigError(f"The BTF of {source} has no functions.", _NEXT)
        kernel = Types(btf)
        total = len(btf.functions)
        modules: dict[str, Types] = {}
        unread: dict[str, str] = {}
        for name, part in _modules(files).items():
            if not part:
                unread[name] = "it has no BTF"
                continue
            try:
                own = Btf(part, btf)
            except UnreadableBtf as error:
                unread[name] = f"its BTF cannot be used: {error}"
                continue
            modules[name] = Types(own, name, kernel)
            total += len(own.functions)
    return Prototypes(
        spec=files.spec,
        release=files.release or _release(files.images[0], raw),
        source=source,
        kernel=kernel,
        modules=tuple(modules.values()),
        read=tuple(modules),
        unread=unread,
        total=total,
        symbols=kallsyms.functions(raw) if raw else None,
    )


def base(files: Files) -> Btf:
    """Return the types of a kernel, which those of its modules refer to; raises as read()."""
    data, source, _ = _kernel(files)
    try:
        return Btf(data)
    except UnreadableBtf as error:
        raise _unreadable(source, error) from error


def _release(image: Path, raw: bytes | None) -> str:
    """Return what uname -r will print of a kernel, or the file's name where nothing says that."""
    if raw:
        found = banner_release(raw)
    else:
        # A vmlinux with debug information may have half a GiB.
        with image.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            found = banner_release(data)
    return found or image.name


def _unreadable(source: str, error: UnreadableBtf) -> ConfigError:
    return ConfigError(
        f"The BTF of {source} cannot be used: {error}.",
        "Nothing of it was counted. For a newer format, a newer version of this program is needed.",
    )


def _kernel(files: Files) -> tuple[bytes, str, bytes | None]:
    """Return a kernel's BTF, where it comes from, and its raw Image if it was read."""
    raw: bytes | None = None
    with_dwarf: Path | None = None
    for image in files.images:
        if _is_elf(image):
            data, has_dwarf = _sections(image)
            if data:
                return data, f"{image.name}, its section .BTF", raw
            with_dwarf = image if has_dwarf else with_dwarf
            continue
        raw = _raw(image)
        if found := found_in(raw):
            return found, f"{image.name}, its BTF", raw
    if with_dwarf:
        return _from_dwarf(with_dwarf), f"{with_dwarf.name}, its DWARF, by pahole", raw
    named = " nor ".join(str(image) for image in files.images)
    raise ConfigError(f"There is neither BTF nor DWARF in {named}.", _NEXT)


def _raw(image: Path) -> bytes:
    data = given.read(image, SIZE_MAX)
    if is_raw(data):
        return data
    with temporary.folder() as folder:
        return raw_image(image, folder)


def _is_elf(path: Path) -> bool:
    given.check(path, FILE_MAX)
    with path.open("rb") as file:
        return file.read(len(_ELF)) == _ELF


def _sections(vmlinux: Path) -> tuple[bytes, bool]:
    """Return the BTF in an ELF file, and whether it has DWARF."""
    from elftools.common.exceptions import ELFError
    from elftools.elf.elffile import ELFFile

    try:
        with vmlinux.open("rb") as file:
            elf = ELFFile(file)
            section = elf.get_section_by_name(".BTF")
            has_dwarf = elf.get_section_by_name(".debug_info") is not None
            return bytes(section.data()) if section else b"", has_dwarf
    except ELFError as error:
        raise ConfigError(f"{vmlinux} is damaged: {error}.") from error


def _from_dwarf(vmlinux: Path) -> bytes:
    """Return BTF made from a vmlinux's DWARF, as the kernel's own build makes it."""

    def make(folder: Path) -> None:
        out = folder / "vmlinux.btf"
        progress("reading DWARF", 0)
        encode = ["--btf_gen_floats", f"--btf_encode_detached={out}"]
        tool.check(["pahole", *encode, vmlinux], seconds=PAHOLE_SECONDS)
        if not out.is_file():
            raise ConfigError(f"pahole finds no types in {vmlinux}.", _NEXT)

    return (cache.entry("prototypes", cache.content(vmlinux), make) / "vmlinux.btf").read_bytes()


def _modules(files: Files) -> dict[str, bytes]:
    """Return the BTF of each module by name, empty where it has none."""
    if files.modules is None:
        return {}
    if not files.key:
        return _read_modules(files.spec, files.modules)
    kept = files.modules if files.modules.is_file() else kept_modules(files)
    return msgspec.msgpack.decode(kept.read_bytes(), type=dict[str, bytes])


def kept_modules(files: Files) -> Path:
    """Return the file with the BTF of a kernel's modules; the kernel has a key, and a folder."""

    def make(entry: Path) -> None:
        assert files.modules
        found = _read_modules(files.spec, files.modules)
        (entry / "modules").write_bytes(msgspec.msgpack.encode(found))

    return cache.entry("prototypes", cache.digest("modules", files.key), make) / "modules"


def _read_modules(spec: str, folder: Path) -> dict[str, bytes]:
    paths = sorted(path for path in folder.rglob("*.ko*") if path.suffix in (".ko", ".xz"))
    found = {}
    for number, path in enumerate(paths):
        progress(f"modules of {spec}", number, len(paths))
        found[path.name.partition(".ko")[0]] = found_in(read_module(path)) or b""
    return found
