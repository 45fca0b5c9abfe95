# SPDX-License-Identifier: GPL-2.0-only
"""Damaged files that a kernel and its modules are made of are made anew."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from harness.archive import programs
from harness.archive.buildroot import BuildRoot
from harness.cases.catalog import Catalog
from harness.errors import ArchiveError, InfrastructureError, UnfitTree
from harness.guest import initramfs, recipe
from harness.host import cache, inventory
from harness.kernel import debian, spec, treebuild
from harness.kernel.kernel import Kernel
from harness.kernel.options import Options
from harness.model.case import Case
from harness.modules import build as modules
from harness.modules import storeproof
from harness.settings import Archive, Settings
from harness.toolchain.compiler import Compiler
from harness.toolchain.toolchain import Toolchain
from tests.unit.kernels import made_up
from tests.unit.standin import source_tree

COMPILER = Compiler("gcc")
FRAGMENT = (
    "CONFIG_ARM64=y\nCONFIG_MODULES=y\nCONFIG_KPROBES=y\nCONFIG_VMAP_STACK=y\nCONFIG_DEBUG_FS=y\n"
)
SAID = "in the cache is made anew: "


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr(treebuild, "NEEDS", ())
    monkeypatch.setattr(programs, "busybox", lambda archive: Path("busybox"))
    return tmp_path / "cache/jprobe-harness"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Return a tree that was built in, so that it is copied first."""
    path = source_tree(tmp_path / "linux", "6.1")
    (path / ".config").touch()
    (path / "include").mkdir()
    (path / "include/some.h").write_text("/* some */\n")
    (tmp_path / "mine.config").write_text(FRAGMENT)
    return path


def resolve(tree: Path) -> Kernel:
    fragments = (tree.with_name("mine.config"),)
    options = Options(compiler=COMPILER, fragments=fragments)
    return spec.resolve(str(tree), Catalog(), Settings(), options=options)


def only(place: Path, pattern: str) -> Path:
    (path,) = place.glob(pattern)
    return path


@pytest.mark.parametrize("file", ["arch/arm64/boot/Image", ".config"])
def test_a_built_tree(
    tree: Path, own_cache: Path, file: str, capfd: pytest.CaptureFixture[str]
) -> None:
    kernel = resolve(tree)
    path = only(own_cache, f"trees/*/output/{file}")
    before = path.read_bytes()
    path.write_bytes(before[: len(before) // 2])
    assert resolve(tree) == kernel
    assert path.read_bytes() == before
    assert capfd.readouterr().err.count(SAID) == 1
    assert resolve(tree) == kernel
    assert capfd.readouterr().err == ""


def test_a_copied_tree_is_compared_before_it_is_built(
    tree: Path, own_cache: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    resolve(tree)
    shutil.rmtree(own_cache / "trees")
    header = only(own_cache, "sources/*/linux/include/some.h")
    header.write_text("#error it was damaged\n")
    resolve(tree)
    assert header.read_text() == "/* some */\n"
    assert capfd.readouterr().err.count(SAID) == 1


def test_a_copied_tree_that_is_damaged_while_it_is_built(
    tree: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*words: object) -> None:
        only(own_cache, "sources/*/linux/include/some.h").write_text("")
        raise UnfitTree("some.h:1: error: nothing is in it")

    monkeypatch.setattr(treebuild, "_compile", fail)
    # The damage is done every time, so that making it anew does not help.
    with pytest.raises(cache.DamagedEntry, match=r"include/some\.h has 0 bytes"):
        resolve(tree)


@pytest.mark.parametrize("pattern", ["trees/*/output/builds", "sources/*/linux/include/some.h"])
def test_what_modules_are_built_in(
    tree: Path, own_cache: Path, pattern: str, capfd: pytest.CaptureFixture[str]
) -> None:
    kernel = resolve(tree)
    path = only(own_cache, pattern)
    kernel.mend()
    assert capfd.readouterr().err == ""
    path.unlink()
    kernel.mend()
    assert path.exists()
    assert capfd.readouterr().err.count(SAID) == 1


@pytest.fixture
def kernel(tmp_path: Path) -> Kernel:
    """Return a kernel whose headers are an entry of the cache."""

    def make(folder: Path) -> None:
        (folder / "header").write_text("/* some */\n")
        (folder / "config").write_text("CONFIG_ARM64=y\n")

    def renew() -> Path:
        return cache.entry("headers", "k", make, vital=["config"])

    build = renew()
    return made_up(build, entries=(build,), renew=renew)


def test_a_kernel_that_is_damaged_between_two_boots(
    kernel: Kernel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "busybox").touch()
    monkeypatch.setattr(initramfs, "build", lambda *words: (b"", initramfs.Channel.VIRTIO))
    kernel = replace(kernel, busybox=tmp_path / "busybox")
    for _ in range(2):
        initramfs.cached(kernel, modules.Modules(tmp_path, "m", tmp_path), recipe.load("minimal"))
        assert kernel.config.read_text()
        kernel.config.write_text("")


def build_modules(kernel: Kernel) -> modules.Modules:
    return modules.build(kernel, Catalog().select_cases(["stack-9"]), compiler=COMPILER)


def test_modules_are_built_from_whole_headers(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def make(kernel: Kernel, *words: Any) -> None:
        assert (kernel.kbuild.folder / "header").read_text() == "/* some */\n"
        (words[-1] / "made").touch()

    def proof(cases: Sequence[Case], file: Path) -> Path:
        return file.parent

    monkeypatch.setattr(modules, "_make", make)
    monkeypatch.setattr(storeproof, "proof", proof)
    (kernel.kbuild.folder / "header").write_text("")
    assert (build_modules(kernel).folder / "made").exists()


def test_headers_that_are_damaged_during_a_build_are_no_fault_of_the_kernels(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def make(kernel: Kernel, *words: Any) -> None:
        (kernel.kbuild.folder / "header").write_text("")
        raise UnfitTree("header:1: error: nothing is in it")

    monkeypatch.setattr(modules, "_make", make)
    with pytest.raises(cache.DamagedEntry):
        build_modules(kernel)


def test_headers_that_nothing_makes_whole(kernel: Kernel) -> None:
    (kernel.kbuild.folder / "header").write_text("")
    with pytest.raises(InfrastructureError, match="header has 0 bytes"):
        replace(kernel, renew=lambda: None).mend()


def test_a_build_root(monkeypatch: pytest.MonkeyPatch, own_cache: Path) -> None:
    def make(root: BuildRoot, folder: Path) -> None:
        (folder / "root/usr/bin").mkdir(parents=True)
        (folder / "root/usr/bin/make").write_text("make")
        (folder / "root/usr/bin/ld").write_text("ld")

    monkeypatch.setattr(BuildRoot, "_make", make)
    root = BuildRoot(("suite",), ("make",), Archive())
    toolchain = Toolchain(COMPILER, root)
    toolchain.prepare()
    linker = root.make() / "usr/bin/ld"
    linker.unlink()
    assert not (root.make() / "usr/bin/ld").exists()
    toolchain.prepare()
    assert linker.read_text() == "ld"


MANIFEST = (
    b'{"release":"6.1.0","version":"6.1","image":"vmlinuz","build":"b","modules":"m",'
    b'"kbuild":"k","libc":"2.0","compiler":"gcc-12"}'
)
WANTED = debian.Wanted("6.1", [], "linux-image-cloud-arm64")


@dataclass
class Mirror:
    """An archive with one kernel, and how often it was asked."""

    newest: str = "key"
    asked: int = 0

    def ask(self, *words: object) -> str:
        self.asked += 1
        cache.entry("debian", self.newest, self._make, vital=debian.VITAL)
        return self.newest

    def _make(self, folder: Path) -> None:
        (folder / "root").mkdir()
        (folder / "root/vmlinuz").write_text("image")
        (folder / "kernel.json").write_bytes(MANIFEST)


@pytest.fixture
def mirror(monkeypatch: pytest.MonkeyPatch) -> Mirror:
    found = Mirror()
    monkeypatch.setattr(debian, "_ask", found.ask)
    return found


def stock() -> Kernel:
    return debian.resolve("debian:6.1", WANTED, Archive(), Path(), refresh=False)


DAMAGED = ["resolved/debian-6.1.json", "debian/key/root/vmlinuz", "debian/key/kernel.json"]


@pytest.mark.parametrize("name", DAMAGED)
def test_a_stock_kernel(
    mirror: Mirror, own_cache: Path, name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    kernel = stock()
    assert (stock(), mirror.asked) == (kernel, 1)
    (own_cache / name).write_bytes(b"")
    assert (stock(), mirror.asked) == (kernel, 2)
    assert capfd.readouterr().err.count(SAID) == 1
    assert (stock(), mirror.asked) == (kernel, 2)
    assert kernel.image.read_text() == "image"


def test_a_damaged_kernel_that_is_no_longer_the_newest(
    mirror: Mirror, own_cache: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    stock()
    (own_cache / "debian/key/root/vmlinuz").write_bytes(b"")
    mirror.newest = "other"
    assert stock().key == "other"
    assert "debian/key in the cache is damaged or gone" in capfd.readouterr().err
    mirror.newest = "third"
    assert debian.resolve("debian:6.1", WANTED, Archive(), Path(), refresh=True).key == "third"
    assert not capfd.readouterr().err


def test_a_damaged_kernel_without_an_archive(
    mirror: Mirror, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stock()
    (own_cache / "debian/key/root/vmlinuz").write_text("")

    def unreachable(*words: object) -> str:
        raise ArchiveError("apt failed to update: no network")

    monkeypatch.setattr(debian, "_ask", unreachable)
    with pytest.raises(ArchiveError, match="no network") as caught:
        stock()
    assert "was damaged" in caught.value.__notes__[0]


def test_an_entry_of_another_layout_is_made_anew(mirror: Mirror, own_cache: Path) -> None:
    stock()
    folder = own_cache / "debian/key"
    (folder / "kernel.json").write_text('{"release": "6.1"}')
    inventory.write(folder, debian.VITAL)
    assert stock().release == "6.1.0"
    assert mirror.asked == 2
