# SPDX-License-Identifier: GPL-2.0-only
"""How peers are found and called."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from harness.measure.bench import peers
from harness.measure.bench.command import Timed
from harness.measure.bench.peers import PEERS, Call, Ground, Missing, Peer
from harness.measure.bench.rounds import Round
from tests.unit.kernels import made_up

KUNIT, VIRTME, LABGRID, VMTEST = PEERS


@pytest.fixture
def ground(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ground:
    """A place where no peer is installed."""
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    (tmp_path / "bin").mkdir()
    (tmp_path / "config").write_text("CONFIG_9P_FS=y\n")
    (tmp_path / "file").write_bytes(b"\x7fELF")
    file = tmp_path / "file"
    kernel = made_up(tmp_path, spec=str(tmp_path), image=file, busybox=file, memory_mib=256)
    return Ground(kernel, tmp_path)


def installed(ground: Ground, program: str) -> str:
    path = ground.folder / "bin" / program
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.name)
def test_a_peer_that_is_missing_is_named_with_what_it_needs(peer: Peer, ground: Ground) -> None:
    with pytest.raises(Missing, match=r"PyPI|source tree"):
        peer.call(ground)


def test_kunit_is_the_trees(ground: Ground) -> None:
    script = ground.folder / "tools/testing/kunit/kunit.py"
    script.parent.mkdir(parents=True)
    script.touch()
    call = KUNIT.call(ground)
    assert call.words[1:3] == (str(script), "exec")
    assert call.words[-1] == "kprobes_test"
    # What is timed builds nothing.
    assert call.before[2] == "build"
    assert "--kconfig_add=CONFIG_KPROBES_SANITY_TEST=y" in call.before


def test_virtme_needs_a_file_system(ground: Ground) -> None:
    program = installed(ground, "vng")
    with pytest.raises(Missing, match="--peer-root"):
        VIRTME.call(ground)
    call = VIRTME.call(replace(ground, root=Path("/some/root")))
    assert call.words[:3] == (program, "--run", str(ground.kernel.image))
    assert call.words[-2:] == ("--exec", "true")
    ground.kernel.config.write_text("# CONFIG_9P_FS is not set\n")
    with pytest.raises(Missing, match="CONFIG_9P_FS"):
        VIRTME.call(replace(ground, root=Path("/some/root")))


def test_labgrid_boots_the_same_machine(ground: Ground) -> None:
    installed(ground, "labgrid-client")
    installed(ground, "qemu-system-aarch64")
    python, _, file = LABGRID.call(ground).words
    assert python == str(ground.folder / "bin/python3")
    found = json.loads(Path(file).read_text())
    (qemu, _) = found["targets"]["main"]["drivers"]
    assert (qemu["QEMUDriver"]["cpu"], qemu["QEMUDriver"]["memory"]) == ("cortex-a57", "256M")
    assert "-smp 2 " in qemu["QEMUDriver"]["extra_args"]
    assert found["images"]["kernel"] == str(ground.kernel.image)


def test_a_peer_that_fails_does_not_end_the_measurement(tmp_path: Path) -> None:
    true, false = shutil.which("true"), shutil.which("false")
    assert true and false
    made = [
        Peer("works", "", "", lambda ground: Call((true,), before=(true,))),
        Peer("fails", "", "", lambda ground: Call((false,))),
        Peer("cannot be built", "", "", lambda ground: Call((true,), before=(false,))),
    ]
    calls = peers.calls(Ground(made_up(tmp_path), tmp_path), made)
    assert list(peers.takers(calls)) == ["works"]
    rounds: list[Round] = [
        {"bare": Timed(2), "works": Timed(3)},
        {"bare": Timed(4), "works": Timed(8)},
    ]
    works, *others = peers.measured(calls, rounds)
    assert works.ratios == (1.5, 2)
    assert works.ratio and works.ratio.median == 1.75
    assert (works.command, works.missing) == ((true,), "")
    for other in others:
        assert other.ratio is None
        assert "ended with status 1" in other.missing
