# SPDX-License-Identifier: GPL-2.0-only
"""Images and output trees that cannot serve."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from harness.errors import ConfigError
from harness.kernel import local
from harness.toolchain.compiler import Compiler

CONFIG = (
    "CONFIG_ARM64=y\nCONFIG_MODULES=y\nCONFIG_KPROBES=y\nCONFIG_VMAP_STACK=y\nCONFIG_DEBUG_FS=y\n"
)
IMAGE = bytes(56) + b"ARM\x64" + bytes(40) + b"Linux version 6.1.0-mine (me) #1\0"


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def build(tmp_path: Path) -> Path:
    """Return an output tree with all files that are looked at."""
    files = {
        ".config": CONFIG,
        "Module.symvers": "",
        "Makefile": "",
        "include/config/kernel.release": "6.1.0-mine\n",
    }
    folder = tmp_path / "build"
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    image = folder / "arch/arm64/boot/Image"
    image.parent.mkdir(parents=True)
    image.write_bytes(IMAGE)
    return folder


def test_an_output_tree(build: Path) -> None:
    kernel = local.from_output("mine", build, Path("busybox"))
    assert (kernel.release, kernel.kbuild.folder) == ("6.1.0-mine", build)
    assert kernel.image.read_bytes() == IMAGE


def overwrite(file: Path, data: bytes) -> None:
    """Change a file but not its size and times, like a build that clamps times."""
    before = file.stat()
    assert len(data) == before.st_size
    file.write_bytes(data)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_an_image_that_looks_like_the_one_before(build: Path) -> None:
    first = local.from_output("mine", build, Path("busybox"))
    other = IMAGE[:-1] + b"x"
    overwrite(build / "arch/arm64/boot/Image", other)
    second = local.from_output("mine", build, Path("busybox"))
    assert second.image.read_bytes() == other
    assert second.key != first.key
    # A moved image is the same as before.
    (build / "arch/arm64/boot/Image").unlink()
    (build / "arch/arm64/boot/Image").write_bytes(IMAGE)
    assert local.from_output("mine", build, Path("busybox")) == first


@pytest.mark.parametrize("size", [0, len(IMAGE) // 2])
def test_an_image_that_was_damaged_in_the_cache(build: Path, size: int) -> None:
    first = local.from_output("mine", build, Path("busybox"))
    first.image.write_bytes(IMAGE[:size])
    assert local.from_output("mine", build, Path("busybox")) == first
    assert first.image.read_bytes() == IMAGE


def test_a_compiler_that_looks_like_the_one_before(tmp_path: Path) -> None:
    program = tmp_path / "gcc"
    program.write_text("#!/bin/sh\nexec gcc-12\n")
    program.chmod(0o755)
    first = Compiler(str(program)).stamp
    assert Compiler(str(program)).stamp == first
    overwrite(program, b"#!/bin/sh\nexec gcc-13\n")
    assert Compiler(str(program)).stamp != first


def test_an_image_alone(build: Path) -> None:
    with pytest.raises(ConfigError, match="No modules can be built") as caught:
        local.from_image("mine", build / "arch/arm64/boot/Image", None, Path("busybox"))
    assert "--modules-build" in caught.value.hint


def spoil(build: Path, name: str, text: str | None) -> None:
    if text is None:
        (build / name).unlink()
    else:
        (build / name).write_text(text)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (".config", "CONFIG_X86_64=y\n", "was not configured for arm64"),
        (".config", CONFIG.replace("CONFIG_KPROBES=y\n", ""), "without CONFIG_KPROBES"),
        (".config", CONFIG.replace("CONFIG_VMAP_STACK=y\n", ""), "without CONFIG_VMAP_STACK"),
        (".config", CONFIG.replace("CONFIG_DEBUG_FS=y\n", ""), "without CONFIG_DEBUG_FS, in which"),
        ("Module.symvers", None, r"it has no Module\.symvers"),
        ("include/config/kernel.release", None, r"it has no include/config/kernel\.release"),
        ("include/config/kernel.release", "6.1.0-other\n", "builds modules for 6.1.0-other"),
        ("include/config/kernel.release", "4.14.0\n", "the port of jprobes is not for"),
        ("arch/arm64/boot/Image", "nothing", "is not an arm64 kernel image"),
        ("arch/arm64/boot/Image", None, "no arch/arm64/boot/Image and no vmlinux"),
    ],
)
def test_what_cannot_serve(build: Path, name: str, text: str | None, message: str) -> None:
    spoil(build, name, text)
    with pytest.raises(ConfigError, match=message):
        local.from_output("mine", build, Path("busybox"))


def test_headers_of_a_distribution(build: Path) -> None:
    """Some distributions have the release in a header only."""
    spoil(build, "include/config/kernel.release", None)
    header = build / "include/generated/utsrelease.h"
    header.parent.mkdir()
    header.write_text('#define UTS_RELEASE "6.1.0-mine"\n')
    assert local.from_output("mine", build, Path("busybox")).release == "6.1.0-mine"


def test_a_build_in_a_path_that_make_cannot_take(
    build: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = build.rename(tmp_path / "my build")
    assert local.from_output("mine", odd, Path("busybox")).kbuild.folder == odd
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match="my build, whose path make cannot take: bwrap is not"):
        local.from_output("mine", odd, Path("busybox"))
