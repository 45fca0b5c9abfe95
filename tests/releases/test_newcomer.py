# SPDX-License-Identifier: GPL-2.0-only
"""The README's first command on an empty Debian of a release that this machine does not run."""

from __future__ import annotations

import os
import platform
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from harness import settings
from harness.archive.apt import accepts_expired, in_suites

PROJECT = Path(__file__).parents[2]
README = (PROJECT / "README.md").read_text()
SECONDS = 1800
# Packages of a machine before its user reads the README.
PACKAGES = ("ca-certificates", "git", "python3", "sudo")
# Configuration that this machine's own apt and pip may need to reach their archives.
HOST_FILES = ("etc/apt/apt.conf.d", "etc/pip.conf", "etc/xdg/pip", "etc/ssl/certs")
HOST_VARIABLES = re.compile(r"pip_|\w+_proxy$", re.IGNORECASE)

RELEASES = re.findall(r"\d+ \((\w+)\)", README.partition("```sh")[0])
OTHERS = sorted({*RELEASES} - {platform.freedesktop_os_release().get("VERSION_CODENAME")})


def first_command() -> str:
    """Return the README's first command, without its comment."""
    block = README.partition("```sh\n")[2]
    return block.partition("\n")[0].partition("#")[0].strip()


def fill(root: Path) -> None:
    """Collect what is copied to the new machine: the project, and the archives' settings."""
    clone = ["git", "clone", "--quiet", "--no-hardlinks", str(PROJECT), str(root / "root/project")]
    subprocess.run(clone, check=True)
    for name in HOST_FILES:
        here, there = Path("/", name), root / name
        if here.is_dir():
            shutil.copytree(here, there)
        elif here.exists():
            there.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(here, there)


def on_a_new_machine(release: str, command: str, folder: Path) -> tuple[int, str]:
    """Run a command in the project's clone on an empty `release`; return status and output."""
    archive = settings.load().archive
    sources = in_suites(archive, [release]).sources
    fill(folder / "files")
    variables = [
        f"{name}={value}" for name, value in os.environ.items() if HOST_VARIABLES.match(name)
    ]
    variables += ["HOME=/root", "LANG=C.UTF-8", "PATH=/usr/sbin:/usr/bin:/sbin:/bin"]
    script = shlex.join(["env", "-i", *variables, "sh", "-c", f"cd /root/project && {command}"])
    done = subprocess.run(
        [
            "mmdebstrap", "--quiet", "--variant=minbase", "--format=null",
            f"--include={','.join(PACKAGES)}",
            *(['--aptopt=Acquire::Check-Valid-Until "false"'] if accepts_expired(archive) else []),
            f"--customize-hook=sync-in {shlex.quote(str(folder / 'files'))} /",
            f'--customize-hook=chroot "$1" {script}',
            release, "/dev/null",
            *(f"deb [signed-by={source.keyring}] {source.uri} {suite} main"
              for source in sources for suite in source.suites),
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=SECONDS,
    )  # fmt: skip
    return done.returncode, done.stdout


def test_the_readme_names_two() -> None:
    assert len(RELEASES) == 2
    assert OTHERS


@pytest.mark.parametrize("release", OTHERS)
def test_the_first_command(release: str, tmp_path: Path) -> None:
    status, output = on_a_new_machine(release, first_command(), tmp_path)
    assert status == 0, output
    cells = re.search(r"(\d+) of \1 verdicts as predicted", output)
    assert cells, output
    assert int(cells[1]) > 600


@pytest.mark.parametrize("release", OTHERS)
def test_a_command_that_fails_there_is_red(release: str, tmp_path: Path) -> None:
    status, output = on_a_new_machine(release, "cat README.md && no-such-command", tmp_path)
    assert status != 0
    assert README.splitlines()[1] in output
