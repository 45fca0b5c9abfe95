# SPDX-License-Identifier: GPL-2.0-only
"""Kernels that cannot serve, and the order in which modules load."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.archive import apt
from harness.archive.apt import Apt, Package
from harness.cases.schema import KernelFile
from harness.errors import ArchiveError, ConfigError, UntrustedArchiveError
from harness.kernel import debian, kernel
from harness.kernel.debian import Wanted
from harness.kernel.kernel import Kernel, check_config, module_order
from harness.settings import Archive, Source
from tests.unit.kernels import made_up


def test_a_kernel_without_kprobes(tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text(FIT.replace("CONFIG_KPROBES=y", "# CONFIG_KPROBES is not set"))
    with pytest.raises(ConfigError, match="built without CONFIG_KPROBES"):
        check_config("mine", config)
    config.write_text(FIT)
    check_config("mine", config)


@pytest.fixture
def stock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kernel:
    modules = tmp_path / "modules"
    drivers = modules / "kernel/drivers"
    drivers.mkdir(parents=True)
    depends = {"virtio_mmio": ["virtio"], "virtio": ["virtio_ring"], "virtio_ring": []}
    for name in depends:
        (drivers / f"{name.replace('_', '-')}.ko.xz").touch()
    (tmp_path / "config").write_text("CONFIG_HW_RANDOM=y\n# CONFIG_VIRTIO_CONSOLE is not set\n")
    monkeypatch.setattr(
        kernel, "_depends", lambda path: depends[path.name.partition(".")[0].replace("-", "_")]
    )
    config = tmp_path / "config"
    return made_up(tmp_path, config=config, modules=modules)


def test_dependencies_load_first(stock: Kernel) -> None:
    order = module_order(stock, ["virtio_mmio", "virtio", "hw_random"])
    assert order is not None
    names = [path.name for path in order]
    assert names == ["virtio-ring.ko.xz", "virtio.ko.xz", "virtio-mmio.ko.xz"]


def test_a_module_that_is_not_there(stock: Kernel) -> None:
    assert module_order(stock, ["virtio_mmio", "virtio_console"]) is None


def package(name: str, version: str, depends: str = "") -> Package:
    return Package(name, version, "arm64", depends)


class FakeApt(Apt):
    """An archive in which the newest kernel's headers may be missing."""

    def __init__(self, headers: str) -> None:
        release = "6.1.0-9-cloud-arm64"
        self.packages = {
            "linux-image-cloud-arm64": [
                package("linux-image-cloud-arm64", "6.12.1-1", "linux-image-6.12.1-cloud-arm64"),
                package("linux-image-cloud-arm64", "6.1.9-1", f"linux-image-{release} (= 6.1.9-1)"),
            ],
            f"linux-image-{release}": [package(f"linux-image-{release}", "6.1.9-1")],
            f"linux-headers-{release}": [
                package(
                    f"linux-headers-{release}",
                    headers,
                    "linux-headers-6.1.0-9-common (= 6.1.9-1), linux-kbuild-6.1 (>= 6.1.9-1)",
                )
            ],
            "linux-headers-6.1.0-9-common": [package("linux-headers-6.1.0-9-common", "6.1.9-1")],
        }

    def versions(self, name: str) -> list[Package]:
        if name.startswith("linux-kbuild-6.1:"):
            return [package("linux-kbuild-6.1", v) for v in ("6.1.10-1", "6.1.9-1")]
        return self.packages.get(name.partition(":")[0], [])


KERNELS = {
    "debian:5.10": KernelFile(shows="x", series="5.10", suites=["bullseye"]),
    "debian:6.1": KernelFile(shows="x", series="6.1", suites=["bookworm"]),
}


def series(spec: str) -> Wanted:
    found = debian.wanted(spec, KERNELS)
    assert found
    return found


def newest(archive: Apt, spec: str) -> debian._Set:
    return debian._newest(archive, series(spec), lambda packages: packages)


def test_what_a_spec_names() -> None:
    assert series("debian:6.1") == Wanted("6.1", ["bookworm"], "linux-image-cloud-arm64")
    assert series("debian:6.1/16k").package == "linux-image-arm64-16k"
    assert series("debian:6.1.0-9-rt-arm64").package == "linux-image-6.1.0-9-rt-arm64"
    assert debian.wanted("debian:6.2", KERNELS) is None
    assert debian.wanted("debian:6.10.1-arm64", KERNELS) is None
    with pytest.raises(ConfigError, match="no flavour 'big'"):
        debian.wanted("debian:6.1/big", KERNELS)


def test_all_packages_are_of_one_revision() -> None:
    found = newest(FakeApt("6.1.9-1"), "debian:6.1")
    assert found.release == "6.1.0-9-cloud-arm64"
    assert found.kbuild.version == "6.1.9-1"


def test_a_half_updated_archive_is_refused() -> None:
    with pytest.raises(ArchiveError, match=r"no linux-headers-6\.1\.0-9-cloud-arm64 6\.1\.9-1"):
        newest(FakeApt("6.1.8-1"), "debian:6.1")


def test_a_series_that_is_gone() -> None:
    with pytest.raises(ArchiveError, match=r"no linux-image-cloud-arm64 of the 5\.10 series"):
        newest(FakeApt("6.1.9-1"), "debian:5.10")


def test_an_exact_release() -> None:
    found = newest(FakeApt("6.1.9-1"), "debian:6.1.0-9-cloud-arm64")
    assert found.release == "6.1.0-9-cloud-arm64"


def test_a_file_that_the_archive_no_longer_has() -> None:
    archive = FakeApt("6.1.9-1")
    meta = archive.packages["linux-image-cloud-arm64"]
    meta.append(package("linux-image-cloud-arm64", "6.1.9-1", meta[1].depends))
    asked = []

    def use(packages: debian._Set) -> str:
        asked.append(packages.release)
        if len(asked) == 1:
            raise ArchiveError("404 Not Found")
        return "the second"

    assert debian._newest(archive, series("debian:6.1"), use) == "the second"


def test_a_changed_file_is_not_made_up_for() -> None:
    def use(packages: debian._Set) -> str:
        raise UntrustedArchiveError("hash sum mismatch")

    with pytest.raises(UntrustedArchiveError):
        debian._newest(FakeApt("6.1.9-1"), series("debian:6.1"), use)


def test_the_hosts_archives_with_another_suite(monkeypatch: pytest.MonkeyPatch) -> None:
    host = [
        Source(uri="file:/main", suites=["trixie", "trixie-updates"]),
        Source(uri="file:/security", suites=["trixie-security"]),
    ]
    monkeypatch.setattr(apt, "host_sources", lambda: host)
    sources = apt.in_suites(Archive(allow_expired=True), ["bookworm"])
    assert [source.suites for source in sources.sources] == [
        ["bookworm", "bookworm-updates"],
        ["bookworm-security"],
    ]
    assert sources.allow_expired


FIT = "CONFIG_ARM64=y\nCONFIG_MODULES=y\nCONFIG_KPROBES=y\nCONFIG_VMAP_STACK=y\nCONFIG_DEBUG_FS=y\n"


@pytest.mark.parametrize(
    ("option", "why"),
    [
        ("CONFIG_CPU_BIG_ENDIAN", "the guest's programs"),
        ("CONFIG_DEBUG_FS_ALLOW_NONE", "the guest writes to a file in debugfs"),
    ],
)
def test_a_kernel_that_no_guest_can_be(tmp_path: Path, option: str, why: str) -> None:
    config = tmp_path / "config"
    config.write_text(f"{FIT}{option}=y\n")
    with pytest.raises(ConfigError, match=f"{option}, and {why}"):
        check_config("mine", config)


def test_a_kernel_that_looks_for_accesses_out_of_bounds(tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text(f"{FIT}CONFIG_KASAN=y\n")
    check_config("mine", config)
