# SPDX-License-Identifier: GPL-2.0-only
"""Users whom the machine does not know, and their folders."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from harness.cli import main
from harness.errors import ConfigError, Exit
from harness.host import home

# No entry in /etc/passwd has this UID.
UID = 4242424242


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Be in a container started with --user and without HOME; return the working directory."""
    for name in list(os.environ):
        if name in ("HOME", "LOGNAME", "USER", "LNAME", "USERNAME") or name.startswith("XDG_"):
            monkeypatch.delenv(name)
    monkeypatch.setattr("os.getuid", lambda: UID)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_user_without_a_name_and_a_home(nobody: Path) -> None:
    assert home.user() == f"with UID {UID}"
    for folder in (home.cache, home.state, home.config):
        with pytest.raises(ConfigError, match=f"with UID {UID} has no home folder"):
            folder()
    with pytest.raises(ConfigError, match="~/linux: there is no such user"):
        home.resolved("~/linux")


@pytest.mark.parametrize("words", [["repro"], ["runs"], ["history", "nights"], ["log"]])
def test_that_is_one_sentence_for_any_command(
    nobody: Path, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == Exit.USAGE
    assert "has no home folder" in capsys.readouterr().err
    assert not list(nobody.iterdir())


def test_a_name_is_not_needed(nobody: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(nobody / "state"))
    assert main(["runs"]) == Exit.AGREES
    monkeypatch.setenv("HOME", str(nobody))
    assert home.cache() == nobody / ".cache/jprobe-harness"
    assert home.resolved("~/linux") == nobody / "linux"


def test_another_user_who_is_not_there() -> None:
    with pytest.raises(ConfigError, match="there is no such user"):
        home.expanded("~no-such-user/linux")


@pytest.mark.parametrize("variable", ["HOME", "TMPDIR", "XDG_CACHE_HOME", "XDG_STATE_HOME"])
@pytest.mark.parametrize("name", [b"\xff", b"a\nb"])
def test_a_folder_that_nothing_could_name(
    variable: str, name: bytes, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(variable, f"/tmp/{os.fsdecode(name)}")
    assert main(["repro"]) == Exit.USAGE
    assert f"{variable} " in capsys.readouterr().err


def test_an_argument_that_nothing_could_name() -> None:
    with pytest.raises(ConfigError, match=r"The argument '/tmp/.udcff' is not in UTF-8"):
        home.check_names(["--kernel", os.fsdecode(b"/tmp/\xff")])
    home.check_names(["--accept", "two\nlines", "é"])
