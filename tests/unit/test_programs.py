# SPDX-License-Identifier: GPL-2.0-only
"""Programs and kernels in packages, in whichever folder a release of Debian has them."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.archive import programs
from harness.errors import ArchiveError
from harness.host import cache, inventory
from harness.kernel import debian
from harness.kernel.debian import Wanted
from harness.settings import Archive

ELF = b"\x7fELF and more"


def put(root: Path, path: str, data: bytes = ELF) -> Path:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_bytes(data)
    return root / path


@pytest.mark.parametrize("folder", ["bin", "usr/bin", "usr/sbin", "usr/libexec/tools"])
def test_a_program_is_found_in_any_folder(tmp_path: Path, folder: str) -> None:
    put(tmp_path, "usr/share/bash-completion/completions/busybox", b"complete busybox\n")
    put(tmp_path, "etc/busybox/busybox.conf", b"")
    program = put(tmp_path, f"{folder}/busybox")
    assert programs.find(tmp_path, "busybox") == program


def test_packages_without_the_program(tmp_path: Path) -> None:
    put(tmp_path, "usr/share/bash-completion/completions/busybox", b"complete busybox\n")
    with pytest.raises(ArchiveError, match="the program busybox"):
        programs.find(tmp_path, "busybox")


RELEASE = "6.1.0-9-cloud-arm64"


@pytest.mark.parametrize("prefix", ["", "usr/"])
@pytest.mark.parametrize("image", [f"boot/vmlinuz-{RELEASE}", f"lib/modules/{RELEASE}/vmlinuz"])
def test_a_kernel_is_found_in_any_folder(tmp_path: Path, prefix: str, image: str) -> None:
    headers = put(tmp_path, f"usr/src/linux-headers-{RELEASE}/Makefile").parent
    (tmp_path / f"{prefix}lib/modules/{RELEASE}/kernel").mkdir(parents=True)
    wanted = put(tmp_path, prefix + image if image.startswith("lib") else image)
    found = debian._places(tmp_path, RELEASE)
    assert found == (wanted, headers, tmp_path / f"{prefix}lib/modules/{RELEASE}")


def test_packages_without_the_kernel(tmp_path: Path) -> None:
    put(tmp_path, f"usr/src/linux-headers-{RELEASE}/Makefile")
    with pytest.raises(ArchiveError, match="no image"):
        debian._places(tmp_path, RELEASE)


@pytest.mark.parametrize("content", [b"", b'{"release": "6.1"}', b"\0\0"])
def test_an_entry_that_nobody_can_read_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    manifest = put(cache.root(), "debian/key/kernel.json", content)
    inventory.write(manifest.parent)
    wanted = Wanted("6.1", [], "linux-image-cloud-arm64")
    assert debian._cached("debian:6.1", "key", wanted, Archive(), Path()) is None
    assert not manifest.parent.exists()
