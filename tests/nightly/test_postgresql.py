# SPDX-License-Identifier: GPL-2.0-only
"""The memory of nightly runs in a real PostgreSQL: the tests of SQLite's, and a nightly run."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.errors import Exit
from harness.nightly.store import Store
from tests.nightly.test_night import play, written
from tests.unit.store_contract import StoreContract

BINARIES = Path("/usr/lib/postgresql")
USER = "postgres"
READY = "database system is ready to accept connections"


def server_command(folder: Path, program: str, *words: str) -> list[str]:
    """Return a command of the newest server, as another user if root, which it refuses."""
    newest = max(BINARIES.iterdir(), key=lambda version: int(version.name))
    command = [str(newest / "bin" / program), "-D", str(folder / "data"), *words]
    if os.geteuid():
        return command
    shutil.chown(folder, USER, USER)
    return ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", *command]


@pytest.fixture(scope="session")
def server() -> Iterator[Path]:
    """Start a server, and yield the folder of its socket."""
    with tempfile.TemporaryDirectory(prefix="jprobe-") as name:
        folder = Path(name)
        make = server_command(folder, "initdb", "-A", "trust", "-U", USER)
        subprocess.run(make, check=True, stdout=subprocess.DEVNULL, cwd="/")
        start = server_command(
            folder, "postgres", "-c", "listen_addresses=", "-c", f"unix_socket_directories={folder}"
        )
        with subprocess.Popen(start, stderr=subprocess.PIPE, text=True, cwd="/") as process:
            assert process.stderr
            assert any(READY in line for line in process.stderr)
            yield folder
            # On SIGINT the server ends its sessions, and then itself.
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=60)


@pytest.fixture
def url(server: Path, request: pytest.FixtureRequest) -> str:
    """Return the URL of a new database for the test."""
    name = request.node.name[:60]
    subprocess.run(["createdb", "-h", server, "-U", USER, name], check=True)
    return f"postgresql+psycopg://{USER}@/{name}?host={server}"


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    with Store(url) as opened:
        yield opened


class TestPostgresql(StoreContract):
    pass


def test_a_nightly_run(url: str, tmp_path: Path) -> None:
    file = written(tmp_path, kernels=["debian:6.1"])
    status, reported, document = play(file, url)
    assert (status, document["complete"]) == (Exit.AGREES, True), reported
    assert play(file, url, "--accept", "why not")[0] == Exit.AGREES
    status, reported, document = play(file, url)
    assert (status, document["regressions"]) == (Exit.AGREES, []), reported
    assert "No regression against nightly run 1" in reported
