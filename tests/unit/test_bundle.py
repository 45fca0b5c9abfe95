# SPDX-License-Identifier: GPL-2.0-only
"""A bundle brings all that a boot needs, once, and no damaged file."""

from __future__ import annotations

import dataclasses
import hashlib
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn, cast

import msgspec
import pytest

from harness.errors import InfrastructureError
from harness.guest.initramfs import Channel, build
from harness.guest.recipe import load
from harness.host import cache
from harness.kernel import image, spec
from harness.kernel.kernel import Engine, Kernel
from harness.modules.build import DRIVE, TRACE, Modules, names
from harness.nightly import bundle, cluster, unit_runner
from harness.nightly.unit import Bundle, Done, Unit, UnitKind, result
from harness.prototypes.btf import Btf
from harness.run.boot import MINIMAL
from tests.unit.kernels import made_up
from tests.unit.made_btf import Maker, nine_words

CONFIG = "CONFIG_ARM64=y\nCONFIG_VIRTIO_MMIO=y\nCONFIG_VIRTIO_CONSOLE=y\n"
UNIT = Unit(kernel="debian:6.1", compiler="gcc", kind=UnitKind.CELLS, variants=[], deadline=60)


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Kernel, Modules]:
    """Return a kernel and modules from another cache than the one that is unpacked into."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    here = tmp_path / "here"
    (here / "drivers").mkdir(parents=True)
    for name, text in (("Image", "image"), ("config", CONFIG), ("busybox", "busybox")):
        (here / name).write_text(text)
    folder = here / "modules"
    (folder / "guest").mkdir(parents=True)
    for name in names(Engine.PORT):
        (folder / "guest" / f"{name}.ko").write_text(name)
    (folder / "guest" / DRIVE).write_text(DRIVE)
    (here / "proof").mkdir()
    (here / "proof/private_copies.json").write_text('{"stack-9": [8]}')
    (folder / "compiler").write_text("gcc 12")
    kernel = made_up(
        here,
        spec="debian:6.1",
        image=here / "Image",
        modules=here / "drivers",
        busybox=here / "busybox",
        variables=("W=1",),
    )
    return kernel, Modules(folder, "m", here / "proof")


def sent(made: tuple[Kernel, Modules]) -> tuple[Bundle, dict[str, bytes]]:
    """Return a bundle, and its files by digest, as they are sent."""
    packed, files = bundle.pack(*made)
    came = msgspec.json.decode(msgspec.json.encode(packed), type=Bundle)
    return came, {digest: path.read_bytes() for digest, path in files.items()}


def test_what_was_packed_is_unpacked(made: tuple[Kernel, Modules]) -> None:
    came, files = sent(made)
    assert sorted(bundle.lacks(came)) == sorted(files)
    for digest, data in files.items():
        assert digest == hashlib.sha256(data).hexdigest()
        bundle.keep(digest, data)
    assert bundle.lacks(came) == []
    kernel, modules = bundle.unpack(came)
    assert kernel.variables == ("W=1",)
    before, built = made
    assert kernel.image.read_bytes() == b"image"
    assert (kernel.spec, kernel.release, kernel.key) == (before.spec, before.release, before.key)
    assert kernel.has("CONFIG_ARM64")
    assert (modules.key, modules.private_copies, modules.compiler) == (
        "m",
        built.private_copies,
        "gcc 12",
    )
    # The guest's files are the same as here.
    recipe = load(MINIMAL)
    there = build(kernel, modules.files, recipe, programs=modules.programs)
    assert there == build(before, built.files, recipe, programs=built.programs)
    assert there[1] is Channel.VIRTIO


def test_a_survey_of_what_was_unpacked(
    made: tuple[Kernel, Modules], monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel, _ = made
    btf = nine_words().data()
    base = Btf(btf)
    own = Maker(base.end, base.strings_end)
    own.function("ten", [("a", 1)] * 10)
    kernel.image.write_bytes(image.stub() + btf)
    (kernel.modules / "own.ko").write_bytes(own.data())
    (kernel.modules / "vmlinux").write_bytes(b"no ELF file")
    monkeypatch.setattr(spec, "resolve", lambda *words, **options: kernel)
    unit = msgspec.structs.replace(UNIT, kind=UnitKind.SURVEY, variants=["none"])
    here = unit_runner.perform(unit)
    assert here.survey and here.survey.stacked == 2
    ((packed, files),) = unit_runner.packed(unit)
    # It may have what the Image does not.
    assert packed.files["kernel/modules/vmlinux"] in files
    for digest, path in files.items():
        bundle.keep(digest, path.read_bytes())
    monkeypatch.setattr(spec, "resolve", None)
    for path in (kernel.image, kernel.modules / "own.ko"):
        path.unlink()
    there = unit_runner.perform(msgspec.structs.replace(unit, bundles=[packed]))
    assert there.harness_errors == []
    assert (there.survey, there.facts) == (here.survey, here.facts)


def test_what_todays_probes_want_is_sent_with_the_rest(made: tuple[Kernel, Modules]) -> None:
    kernel, built = made
    (built.folder / "guest" / TRACE).write_text(TRACE)
    for modules in (built, dataclasses.replace(built, traced=True)):
        came, files = sent((kernel, modules))
        for digest, data in files.items():
            bundle.keep(digest, data)
        _, there = bundle.unpack(came)
        assert there.traced == modules.traced
        names = [path.name for path in there.programs]
        assert names == [path.name for path in modules.programs]
        assert (TRACE in names) == modules.traced
        assert all(path.is_file() for path in there.programs)


@pytest.mark.parametrize("kind", ["blobs", "bundles"])
def test_a_file_that_is_damaged_on_the_worker(made: tuple[Kernel, Modules], kind: str) -> None:
    came, files = sent(made)
    for digest, data in files.items():
        bundle.keep(digest, data)
    kernel, _ = bundle.unpack(came)
    path = kernel.image
    if kind == "blobs":
        (path,) = cache.root().glob(f"blobs/{came.files['kernel/Image']}/blob")
    # Both names are links to one file.
    path.write_bytes(b"")
    lacking = bundle.lacks(came)
    assert lacking == [came.files["kernel/Image"]]
    for digest in lacking:
        bundle.keep(digest, files[digest])
    assert bundle.unpack(came)[0].image.read_bytes() == b"image"


def test_a_file_that_was_damaged(made: tuple[Kernel, Modules]) -> None:
    came, files = sent(made)
    for digest, data in files.items():
        with pytest.raises(InfrastructureError, match="damaged on its way"):
            bundle.keep(digest, data + b"x")
    assert len(bundle.lacks(came)) == len(files)


def test_a_file_comes_once(made: tuple[Kernel, Modules], monkeypatch: pytest.MonkeyPatch) -> None:
    came, files = sent(made)
    fetched: list[str] = []

    def fetch(digest: str) -> bytes:
        fetched.append(digest)
        return files[digest]

    def work(unit: Unit) -> Done:
        return result(unit, 0.0, 1.0, planned=1, played=1)

    monkeypatch.setattr(cluster, "_fetch", fetch)
    unit = msgspec.structs.replace(UNIT, bundles=[came])
    assert cluster._work(work, unit).complete
    assert sorted(fetched) == sorted(files)
    # Another kernel that has all but one file in common.
    other = msgspec.structs.replace(came, files={**came.files, "kernel/Image": "0" * 64})
    again = cluster._work(work, msgspec.structs.replace(UNIT, bundles=[came]))
    assert (again.complete, len(fetched)) == (True, len(files))
    count = len(fetched)
    files["0" * 64] = b"not it"
    bad = cluster._work(work, msgspec.structs.replace(UNIT, bundles=[other]))
    assert fetched[count:] == ["0" * 64]
    assert "damaged on its way" in bad.harness_errors[0]
    assert not bad.complete


class Scheduler:
    """A stand-in for a Dask client whose workers lose a file so often, and then do the unit."""

    status = "running"

    def __init__(self, losses: int) -> None:
        self.losses = losses
        self.published: list[str] = []
        self.holds: set[str] = set()

    def scatter(self, data: bytes, **options: Any) -> bytes:
        return data

    def publish_dataset(self, *, override: bool, **held: bytes) -> None:
        self.published += held
        self.holds |= held.keys()

    def unpublish_dataset(self, name: str) -> None:
        self.holds.remove(name)

    def submit(self, *words: Any, **options: Any) -> Scheduler:
        self.unit: Unit = words[2]
        return self

    def result(self) -> Done:
        if self.losses:
            self.losses -= 1
            raise cluster.LostFileError(self.unit.bundles[0].files["kernel/Image"])
        return result(self.unit, 0.0, 1.0, planned=1, played=1)


@pytest.mark.parametrize("losses", range(cluster.LOST + 1))
def test_a_file_that_is_lost_with_its_worker_is_sent_again(
    made: tuple[Kernel, Modules], monkeypatch: pytest.MonkeyPatch, losses: int
) -> None:
    monkeypatch.setattr(cluster, "packed", lambda unit: [bundle.pack(*made)])
    _, files = bundle.pack(*made)
    scheduler = Scheduler(losses)
    with cluster.Sender(cast(Any, scheduler)) as sender:
        future = sender.submit(lambda unit: result(unit, 0.0, 1.0), UNIT)
        if losses < cluster.LOST:
            assert future.result().complete
        else:
            with pytest.raises(InfrastructureError, match="lose the files they hold"):
                future.result()
    # Each file once, and what was lost once more each time.
    assert len(scheduler.published) == len(files) + losses
    # What is not needed any more is not held.
    assert not scheduler.holds


@pytest.mark.parametrize("holders", [[["one"], ["one"], []], [[]]])
def test_a_file_that_no_worker_has_is_not_waited_for(
    holders: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = iter(holders)

    def result(seconds: float) -> NoReturn:
        assert seconds < cluster.FETCH_SECONDS / 10
        raise TimeoutError

    client = SimpleNamespace(
        get_dataset=lambda name: SimpleNamespace(result=result),
        who_has=lambda futures: {"key": next(asked)},
    )
    monkeypatch.setitem(sys.modules, "distributed", SimpleNamespace(get_client=lambda: client))
    with pytest.raises(cluster.LostFileError):
        cluster._fetch("digest")
    assert list(asked) == []
