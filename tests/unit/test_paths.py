# SPDX-License-Identifier: GPL-2.0-only
"""The user's paths in files that other programs read."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from harness.inspect.debug import word
from harness.vm.machine import Disk, Machine
from harness.vm.ssh import write_config

ODD = ["a b", "a,b", "a:b", "100%h", "a#b", "it's", 'a"b', "a\\b", "$HOME", "é"]


@pytest.mark.parametrize("name", ODD)
def test_ssh_finds_what_a_config_names(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    folder.mkdir()
    config = write_config(folder, 2222, "AAAA", folder / "key")
    words = ["ssh", "-G", "-F", str(config), "guest"]
    reported = subprocess.run(words, check=True, capture_output=True, text=True).stdout.splitlines()
    assert f"identityfile {folder}/key" in [line.replace("%%", "%") for line in reported]
    assert f"userknownhostsfile {folder}/known_hosts" in [
        line.replace("%%", "%") for line in reported
    ]


@pytest.mark.parametrize("name", ODD)
def test_gdb_takes_a_path_as_one_word(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    folder.mkdir()
    file = folder / "symbols"
    file.write_bytes(Path("/bin/true").read_bytes())
    script = tmp_path / "script"
    script.write_text(f"symbol-file -o 0x0 {word(file)}\ninfo files\n")
    words = ["gdb-multiarch", "--nx", "--batch", "-x", str(script)]
    done = subprocess.run(words, capture_output=True, text=True)
    assert "Symbols from" in done.stdout + done.stderr


def test_a_comma_ends_no_value(tmp_path: Path) -> None:
    """As QEMU's documentation has it: a comma in a value is written twice."""
    odd = tmp_path / "a,b"
    command = Machine(tmp_path / "Image").standalone(odd / "initrd", odd / "records")
    assert command[command.index("-initrd") + 1] == f"{tmp_path}/a,b/initrd"
    assert f"file,id=records,path={tmp_path}/a,,b/records" in command
    drive = Disk("d,e", odd).arguments(3)
    assert drive[1].endswith(f",file.driver=file,file.filename={tmp_path}/a,,b")
    assert drive[3] == "virtio-blk-device,drive=disk3,serial=d,,e"
    # With a driver named, it is no address, whatever it begins with.
    assert "file.driver=file,file.filename=json:{,,}" in Disk("d", Path("json:{,}")).arguments(0)[1]
