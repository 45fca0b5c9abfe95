# SPDX-License-Identifier: GPL-2.0-only
"""The private apt, on an archive that the test makes and spoils."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Callable
from email.utils import formatdate
from pathlib import Path

import pytest

from harness.archive.apt import Apt, host_sources, in_suites, unpack
from harness.errors import ArchiveError
from harness.settings import Archive, Source


class Repository:
    """A Debian archive in a directory, with one package."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._package()
        self.write()

    def _package(self) -> None:
        tree = self.folder / "tree"
        (tree / "DEBIAN").mkdir(parents=True)
        (tree / "DEBIAN/control").write_text(
            "Package: some-package\nVersion: 1.0-1\nArchitecture: arm64\n"
            "Maintainer: nobody <nobody@example.org>\nDescription: a test\n"
        )
        (tree / "etc").mkdir()
        (tree / "etc/some").write_text("content\n")
        self.deb = self.folder / "some-package_1.0-1_arm64.deb"
        subprocess.run(
            ["dpkg-deb", "--root-owner-group", "--build", tree, self.deb],
            check=True,
            capture_output=True,
        )

    def write(self) -> None:
        """Write the indexes; they are not signed."""
        data = self.deb.read_bytes()
        stanza = (
            "Package: some-package\nVersion: 1.0-1\nArchitecture: arm64\n"
            "Depends: other (= 1), third\n"
            f"Filename: {self.deb.name}\nSize: {len(data)}\n"
            f"SHA256: {hashlib.sha256(data).hexdigest()}\n\n"
        )
        index = self.folder / "dists/some/main/binary-arm64"
        index.mkdir(parents=True, exist_ok=True)
        (index / "Packages").write_text(stanza)
        digest = hashlib.sha256(stanza.encode()).hexdigest()
        (self.folder / "dists/some/Release").write_text(
            "Origin: Test\nSuite: some\nCodename: some\nComponents: main\nArchitectures: arm64\n"
            f"Date: {formatdate(usegmt=True).replace('GMT', 'UTC')}\n"
            f"SHA256:\n {digest} {len(stanza)} main/binary-arm64/Packages\n"
        )

    def apt(self, folder: Path, kind: type[Apt]) -> Apt:
        source = Source(uri=f"file:{self.folder}", suites=["some"])
        folder.mkdir()
        return kind(folder, Archive(sources=[source]), "arm64")


class Trusting(Apt):
    """An apt that trusts an unsigned archive, so that its checksums are tested."""

    def _trust(self, source: Source) -> str:
        return "arch=arm64 trusted=yes"


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "repository")


def test_an_unsigned_archive_is_refused(repository: Repository, tmp_path: Path) -> None:
    apt = repository.apt(tmp_path / "apt", Apt)
    with pytest.raises(ArchiveError) as caught:
        apt.update()
    assert "nothing was used" in caught.value.hint


def test_download_and_unpack(repository: Repository, tmp_path: Path) -> None:
    apt = repository.apt(tmp_path / "apt", Trusting)
    apt.update()
    package = apt.newest("some-package")
    assert (package.version, package.depends) == ("1.0-1", "other (= 1), third")
    downloads = tmp_path / "downloads"
    downloads.mkdir()
    (deb,) = apt.download([package], downloads)
    unpack(deb, tmp_path / "root")
    assert (tmp_path / "root/etc/some").read_text() == "content\n"


@pytest.mark.parametrize("spoil", ["changed", "cut", "gone"])
def test_a_spoiled_download_is_refused(repository: Repository, tmp_path: Path, spoil: str) -> None:
    apt = repository.apt(tmp_path / "apt", Trusting)
    apt.update()
    data = bytearray(repository.deb.read_bytes())
    if spoil == "changed":
        data[-1] ^= 1
        repository.deb.write_bytes(data)
    elif spoil == "cut":
        repository.deb.write_bytes(data[:-100])
    else:
        repository.deb.unlink()
    downloads = tmp_path / "downloads"
    downloads.mkdir()
    with pytest.raises(ArchiveError) as caught:
        apt.download([apt.newest("some-package")], downloads)
    assert "--refresh" in caught.value.hint
    assert not list(downloads.glob("*.deb"))


def test_a_package_that_is_gone(repository: Repository, tmp_path: Path) -> None:
    apt = repository.apt(tmp_path / "apt", Trusting)
    apt.update()
    with pytest.raises(ArchiveError, match="The archive has no package 'other'"):
        apt.newest("other")


def test_many_packages_at_once(repository: Repository, tmp_path: Path) -> None:
    apt = repository.apt(tmp_path / "apt", Trusting)
    apt.update()
    assert apt.names("some-.*") == ["some-package"]
    assert apt.names("ome-package|other") == []
    apt.learn(["some-package", "other"])
    # What is known is not asked for again.
    repository.folder.rename(tmp_path / "gone")
    (tmp_path / "apt").rename(tmp_path / "gone/apt")
    assert [package.version for package in apt.versions("some-package")] == ["1.0-1"]
    assert apt.versions("other") == []


TARGETS = """\
Debian|http://one/debian/|trixie
Debian|http://one/debian/|trixie
Debian|http://one/debian/|trixie-updates
Debian|http://one/debian-debug/|trixie-debug
Debian|http://one/debian-debug/|trixie-proposed-updates-debug
Debian|cdrom:[Debian GNU/Linux 13 _Trixie_ - Official]/|trixie
Other|http://two/debian/|trixie
"""


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Give the machine's own apt sources, as it has them."""
    real = shutil.which("apt-get")

    def make(targets: str) -> None:
        (tmp_path / "targets").write_text(targets)
        program = tmp_path / "bin/apt-get"
        program.parent.mkdir()
        program.write_text(
            f'#!/bin/sh\n[ "$1" = indextargets ] && exec cat {tmp_path}/targets\nexec {real} "$@"\n'
        )
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")

    return make


def test_what_the_machine_has_that_carries_kernels(machine: Callable[[str], None]) -> None:
    machine(TARGETS)
    assert host_sources() == [Source("http://one/debian/", ["trixie", "trixie-updates"])]


def test_a_machine_with_no_archive_but_a_disc(machine: Callable[[str], None]) -> None:
    machine("Debian|cdrom:[Debian]/|trixie\n")
    with pytest.raises(ArchiveError, match="knows no Debian archive"):
        host_sources()


def test_an_archive_that_lacks_a_suite_is_left_out(
    repository: Repository, tmp_path: Path, machine: Callable[[str], None]
) -> None:
    (tmp_path / "third/dists/host").mkdir(parents=True)
    uri = f"file:{repository.folder}/"
    machine(f"Debian|{uri}|host\nDebian|{uri}|host-updates\nDebian|file:{tmp_path}/third/|host\n")
    assert in_suites(Archive(), ["some"]).sources == [Source(uri, ["some"])]
    # Where none has it, the error is apt's own.
    assert len(in_suites(Archive(), ["none"]).sources) == 2
    named = Archive(sources=[Source(f"file:{tmp_path}/third", ["host"])])
    assert in_suites(named, ["some"]).sources == named.sources


def test_a_package_that_is_none(tmp_path: Path) -> None:
    path = tmp_path / "broken.deb"
    path.write_bytes(b"not a package")
    with pytest.raises(ArchiveError, match=r"broken\.deb cannot be unpacked"):
        unpack(path, tmp_path / "root")
