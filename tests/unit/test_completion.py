# SPDX-License-Identifier: GPL-2.0-only
"""What shells complete the command with, and its manual page."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from harness import cli
from harness.cases import catalog
from harness.cases.reader import load_case
from harness.commands.completion import SHELLS
from harness.model.case import Case


def script(shell: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    assert cli.main(["completion", shell]) == 0
    file = folder / "_jprobe-harness"
    file.write_text(capsys.readouterr().out)
    return file


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["sto"], {"storm"}),
        (["repro", "--variant", "fixed"], {"fixed-64", "fixed-128"}),
        (["shell", "--kernel", "debian:6.1"], {"debian:6.1", "debian:6.12"}),
        (["tracers", "--tracer", "kpro"], {"kprobe", "kprobe-multi"}),
        (["log", "--pa"], {"--part"}),
    ],
)
def test_bash(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], expected: set[str]
) -> None:
    file = script("bash", tmp_path, capsys)
    line = " ".join(f"'{word}'" for word in ["jprobe-harness", *words])
    program = (
        f"source {file}; COMP_WORDS=({line}); COMP_CWORD={len(words)};"
        ' _shtab_jprobe_harness; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    done = subprocess.run(["bash", "-c", program], capture_output=True, text=True)
    assert set(done.stdout.split()) >= expected, done.stderr


def test_the_catalogue_is_read_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    read: list[Path] = []

    def counted(path: Path) -> Case:
        read.append(path)
        return load_case(path)

    monkeypatch.setattr(catalog, "load_case", counted)
    assert cli.main(["completion", "bash"]) == 0
    assert len(read) == len(set(read)) > 0
    assert "stack-9" in capsys.readouterr().out


@pytest.mark.parametrize("shell", SHELLS)
def test_each_shell_reads_its_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], shell: str
) -> None:
    file = script(shell, tmp_path, capsys)
    done = subprocess.run([shell, "-n", file], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    for name in cli.COMMANDS:
        assert name in file.read_text()


def test_fish(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = script("fish", tmp_path, capsys)
    program = f"source {file}; complete -C 'jprobe-harness repro --variant fixed-'"
    done = subprocess.run(["fish", "-N", "-c", program], capture_output=True, text=True)
    assert {line.split("\t")[0] for line in done.stdout.splitlines()} >= {"fixed-64", "fixed-128"}


def test_the_manual_page_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["man"]) == 0
    page = capsys.readouterr().out
    assert page.startswith(".TH JPROBE")
    for name, command in cli.COMMANDS.items():
        assert f"jprobe-harness {name}".replace("-", r"\-") in page.replace(r"\fR \fI\,", " ")
        assert command.SUMMARY.split(",")[0].replace("-", r"\-") in page
