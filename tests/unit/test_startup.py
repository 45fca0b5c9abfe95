# SPDX-License-Identifier: GPL-2.0-only
"""What a command does before QEMU starts: as little as possible."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import tests
from harness.vm import running as vm

# Each of them, with what it imports, takes as long as all of our own modules for a run together
# may take, or a good part of that.
HEAVY = (
    "asyncio", "capstone", "cryptography", "elftools", "email", "filelock", "importlib.metadata",
    "jinja2", "paramiko", "pexpect", "pygdbmi", "pytest", "qemu.qmp", "rich", "sqlalchemy", "ssl",
    "xml.etree", "yaml",
)  # fmt: skip

# Runs a command, with a kernel that is ready, until QEMU would be started.
UNTIL_QEMU = """
import json, os, sys
from pathlib import Path

import harness.cli
import harness.run.job
from harness.guest import initramfs
from harness.modules.build import Modules
from harness.vm import running
from tests.unit.kernels import made_up

def prepare(*given, **options):
    return made_up(place, memory_mib=256), Modules(place, "m", place)

def start(*given):
    heavy = [name for name in sys.argv[1].split() if name in sys.modules]
    sys.__stdout__.write(json.dumps(heavy))
    sys.__stdout__.flush()
    os._exit(0)

place = Path(os.environ["XDG_CACHE_HOME"])
for name in ("config", "compiler"):
    (place / name).touch()
harness.run.job.lacking = lambda kernel, cases: {}
harness.run.job.judge.__kwdefaults__["prepare"] = prepare
harness.run.job.prepare_plan.__kwdefaults__["prepare"] = prepare
initramfs.cached = lambda *given: (b"", initramfs.Channel.SERIAL)
running._start = start
harness.cli.main(["repro", "--kernel", "debian:6.1"])
"""


def imported(tmp_path: Path, script: str = UNTIL_QEMU) -> list[str]:
    """Return the heavy modules that a process has imported when it starts QEMU."""
    qemu = tmp_path / "qemu-system-aarch64"
    qemu.touch(mode=0o755)
    environment = {
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "PYTHONPATH": str(Path(tests.__file__).parent.parent),
        "XDG_CACHE_HOME": str(tmp_path),
        "XDG_STATE_HOME": str(tmp_path),
        "XDG_CONFIG_HOME": str(tmp_path),
    }
    command = [sys.executable, "-c", script, " ".join(HEAVY)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.stdout, done.stderr
    found: list[str] = json.loads(done.stdout)
    return found


def test_nothing_heavy_is_imported_before_qemu_starts(tmp_path: Path) -> None:
    # The files of the catalog are read once, and known from then on.
    assert imported(tmp_path) == ["filelock", "yaml"]
    assert imported(tmp_path) == []


def test_it_would_be_noticed(tmp_path: Path) -> None:
    script = f"import harness.report.terminal, harness.vm.qmp\n{UNTIL_QEMU}"
    assert {"asyncio", "qemu.qmp", "rich", "ssl"} <= set(imported(tmp_path, script))


def test_the_version_of_a_program_is_known_until_its_file_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr("harness.host.inventory.SETTLED_SECONDS", -1)
    asked: list[str] = []

    def check(words: list[str], seconds: float) -> str:
        asked.append(words[0])
        return f"QEMU emulator version 9.{len(asked)}\n"

    monkeypatch.setattr("harness.host.tool.check", check)
    program = tmp_path / "qemu-system-aarch64"
    found = []
    # A script may start whichever QEMU.
    for content in (b"\x7fELF", b"\x7fELF", b"\x7fELF changed", b"#!/bin/sh", b"#!/bin/sh"):
        if not program.exists() or program.read_bytes() != content:
            program.write_bytes(content)
            program.chmod(0o755)
        vm.version.cache_clear()
        found.append(vm.version().rpartition(".")[2])
    vm.version.cache_clear()
    assert found == ["1", "1", "2", "3", "4"]
