# SPDX-License-Identifier: GPL-2.0-only
"""Outputs are checked before anything runs, and written whatever else fails."""

from __future__ import annotations

import argparse
import itertools
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import cli
from harness.commands import nightly_outputs, output
from harness.commands.output import Output, Target, each, report
from harness.commands.repro import outputs
from harness.errors import ConfigError, Exit, InfrastructureError

# What a command cannot do without.
NEEDED = {
    "nightly": ["night.yaml"],
    "history": ["nights"],
    "list": ["cases"],
    "completion": ["bash"],
}
# What has nothing to write as JSON.
PLAIN = {"completion", "man", "shell", "ssh"}


def targets() -> Iterator[tuple[str, str]]:
    """Yield each command with each option that names a file to write."""
    top = cli.parser()
    (commands,) = (one for one in top._actions if isinstance(one, argparse._SubParsersAction))
    for name, parser in commands.choices.items():
        for action in parser._actions:
            if action.type is Target:
                yield name, action.option_strings[0]


def test_every_option_that_writes_is_known() -> None:
    found = set(targets())
    assert {name for name, option in found if option == "--json"} >= cli.COMMANDS.keys() - PLAIN
    for command, forms in (("repro", outputs.OUTPUTS), ("nightly", nightly_outputs.OUTPUTS)):
        assert {(command, f"--{one.name}") for one in forms} <= found
    assert {("report", "--html"), ("predict", "--svg")} <= found


@pytest.fixture
def never(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every command fail the test if it runs."""

    def run(options: argparse.Namespace) -> int:
        raise AssertionError("it ran")

    for command in cli.COMMANDS.values():
        monkeypatch.setattr(command, "run", run)


@pytest.mark.usefixtures("never")
@pytest.mark.parametrize(("command", "option"), sorted(targets()))
def test_an_output_is_checked_before_anything_runs(
    command: str, option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [command, *NEEDED.get(command, []), option, str(tmp_path / "no/x")]
    assert cli.main(words) == Exit.USAGE
    assert "no/x cannot be written: there is no such directory" in capsys.readouterr().err


def dangling(folder: Path) -> str:
    (folder / "link").symlink_to(folder / "no/x")
    return str(folder / "link")


def below_a_file(folder: Path) -> str:
    (folder / "file").touch()
    return str(folder / "file/x")


def loop(folder: Path) -> str:
    (folder / "loop").symlink_to(folder / "loop")
    return str(folder / "loop")


@pytest.mark.usefixtures("never")
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (str, "it is a directory"),
        (lambda folder: "", "--html: give a file"),
        (lambda folder: str(folder / ("x" * 300)), "file name too long"),
        (dangling, "there is no such directory"),
        (below_a_file, "not a directory"),
        (loop, "symbolic links"),
    ],
)
def test_what_cannot_be_written(
    make: object, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert callable(make)
    assert cli.main(["report", "--html", make(tmp_path)]) == Exit.USAGE
    assert message in capsys.readouterr().err


@pytest.mark.usefixtures("never")
def test_what_this_user_may_not_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # Tests may run as root, who may write everywhere.
    monkeypatch.setattr(os, "access", lambda path, mode: not mode & os.W_OK)
    assert cli.main(["repro", "--json", str(tmp_path / "x")]) == Exit.USAGE
    assert f"you may make no file in {tmp_path}" in capsys.readouterr().err
    (tmp_path / "x").touch()
    assert cli.main(["repro", "--json", str(tmp_path / "x")]) == Exit.USAGE
    assert "x cannot be written: you may not write to it" in capsys.readouterr().err


def test_a_check_changes_nothing(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    old.write_text("as it was")
    before = old.stat()
    output.check_files([str(old), str(new), "-"])
    assert old.stat() == before
    assert old.read_text() == "as it was"
    assert not new.exists()


@pytest.mark.usefixtures("never")
def test_two_outputs_are_not_written_to_one_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for one, other in (("-", "-"), ("new", f"{tmp_path}/new"), ("link", "old"), ("hard", "old")):
        for name in ("old", "link", "hard"):
            (tmp_path / name).unlink(missing_ok=True)
        (tmp_path / "old").touch()
        (tmp_path / "link").symlink_to("old")
        (tmp_path / "hard").hardlink_to("old")
        assert cli.main(["repro", "--junit", one, "--ktap", other]) == Exit.USAGE
        assert "Two outputs go to" in capsys.readouterr().err
    output.check_files(["/dev/null", "/dev/null", "-", "old", "other"])
    os.mkfifo("pipe")
    with pytest.raises(ConfigError, match=r"Two outputs go to .*pipe"):
        output.check_files(["pipe", f"{tmp_path}/pipe"])


@pytest.mark.parametrize(
    ("name", "to"),
    [
        *itertools.product(["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"], ["pipe", "file"]),
        ("table", "file"),
    ],
)
def test_another_name_of_standard_output(name: str, to: str, tmp_path: Path) -> None:
    """No table is printed where the JSON goes."""
    command = ["jprobe-harness", "list", "variants", "--json", name]
    if to == "pipe":
        done = subprocess.run(command, stdout=-1, stderr=-1, timeout=60)
        out = done.stdout.decode()
    else:
        with (tmp_path / "table").open("w") as file:
            done = subprocess.run(command, stdout=file, stderr=-1, cwd=tmp_path, timeout=60)
        out = (tmp_path / "table").read_text()
    assert done.returncode == 0, done.stderr
    assert {row["name"] for row in json.loads(out)} >= {"none", "fixed-128"}
    with (tmp_path / "table").open("w") as file:
        words = ["jprobe-harness", "repro", "--junit", "-", "--ktap", name]
        done = subprocess.run(words, stdout=file, stderr=-1, cwd=tmp_path, timeout=60)
    assert done.returncode == Exit.USAGE
    assert b"Two outputs go to" in done.stderr


@pytest.mark.usefixtures("never")
@pytest.mark.parametrize(
    "words",
    [
        ["nightly", "read", "--html"],
        ["repro", "--patch", "read", "--ktap"],
        ["repro", "--kconfig", "read", "--json"],
        ["repro", "--kernel", "./read", "--json"],
        ["report", "--store", "sqlite:///read", "--json"],
    ],
)
def test_what_is_read_is_not_written_over(
    words: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "read").write_text("as it was")
    (tmp_path / "hard").hardlink_to("read")
    for name in ("read", "hard", str(tmp_path / "read")):
        assert cli.main([*words, name]) == Exit.USAGE
        assert "is read, and would be written over" in capsys.readouterr().err


def test_a_word_that_is_a_files_name_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        assert cli.main(["list", "cases", "--json", "cases"]) == Exit.AGREES


def test_a_picture_does_not_keep_json_from_being_written(tmp_path: Path) -> None:
    words = ["predict", "--case", "stack-9", "--json", str(tmp_path / "json")]
    assert cli.main([*words, "--svg", str(tmp_path / "svg")]) == Exit.AGREES
    assert (tmp_path / "svg").read_text().startswith("<svg")
    assert json.loads((tmp_path / "json").read_text())["predictions"]


def test_all_steps_are_taken() -> None:
    taken = []

    def fail(name: str) -> None:
        taken.append(name)
        raise InfrastructureError(f"{name} failed.")

    with pytest.raises(InfrastructureError, match="a failed") as caught:
        each(lambda: fail("a"), lambda: taken.append("b"), lambda: fail("c"))
    assert taken == ["a", "b", "c"]
    assert caught.value.__notes__ == ["c failed."]
    each()


def test_a_form_that_fails_does_not_stop_the_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def wrong(result: str) -> bytes:
        raise KeyError(result)

    outputs = (
        Output("html", "", wrong),
        Output("junit", "", str.encode),
        Output("ktap", "", str.encode),
        Output("mail", "", str.encode),
    )
    options = argparse.Namespace(
        html=Target(tmp_path / "html"),
        junit=Target("/dev/full"),
        ktap=Target(tmp_path / "ktap"),
        mail=None,
    )
    with pytest.raises(KeyError):
        report(options, outputs, "found", print)
    assert (tmp_path / "ktap").read_text() == "found"
    assert capsys.readouterr().out == "found\n"
    with pytest.raises(InfrastructureError, match="/dev/full cannot be written: No space left"):
        report(options, outputs[1:], "found", print)


@pytest.mark.parametrize("command", [["list", "variants"], ["predict", "--case", "stack-9"]])
def test_the_table_is_shown_where_json_cannot_be_written(
    command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main([*command, "--json", "/dev/full"]) == Exit.INFRASTRUCTURE
    reported = capsys.readouterr()
    assert "fixed-128" in reported.out
    assert "/dev/full cannot be written: No space left on device." in reported.err
