# SPDX-License-Identifier: GPL-2.0-only
"""The command survey, from a kernel's image to what it prints and writes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness import cli
from harness.errors import Exit
from harness.kernel import image
from tests.unit.made_btf import Maker, nine_words


def kernel(folder: Path, made: Maker | None) -> str:
    """Return the path of an Image with this BTF, or with none."""
    path = folder / "Image"
    path.write_bytes(
        image.stub() + (made.data() if made else b"") + b"Linux version 6.1.0-own (x) "
    )
    return str(path)


def test_an_image(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, table = tmp_path / "out.json", tmp_path / "out.csv"
    words = ["survey", "--kernel", kernel(tmp_path, nine_words()), "--json", str(out)]
    assert cli.main([*words, "--csv", str(table), "--variant", "none"]) == Exit.AGREES
    shown = capsys.readouterr().out
    assert "6.1.0-own: where the arguments of 1 functions lie" in shown
    assert "none     0          1     0" in shown
    (found,) = json.loads(out.read_text())["kernels"]
    assert found["all"]["stacked"] == 1 and found["symbols"] is None
    assert "functions" not in json.loads(out.read_text())
    assert table.read_text().splitlines()[1].startswith(f"{words[2]},6.1.0-own,,nine,8,0,")


def test_several_kernels(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "last").mkdir()
    first, last = kernel(tmp_path, nine_words()), nine_words()
    last.function("ten", [("a", 1)] * 10)
    words = ["survey", "--kernel", first, "--kernel", kernel(tmp_path / "last", last)]
    assert cli.main(words) == Exit.AGREES
    shown = capsys.readouterr().out
    assert (
        "new function\nbefore  after  module  prototype\n-       16             void ten(" in shown
    )


def test_a_function(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["survey", "--kernel", kernel(tmp_path, nine_words()), "--function"]
    assert cli.main([*words, "nine"]) == Exit.AGREES
    assert "long int a8  8      SP+0     C.13, C.17" in capsys.readouterr().out
    assert cli.main([*words, "nein"]) == Exit.USAGE
    assert "no prototype" not in (error := capsys.readouterr().err)
    assert "No kernel here has a prototype of 'nein'. The nearest: nine." in error


@pytest.mark.parametrize(
    ("version", "sentence"), [(None, "neither BTF nor DWARF in"), (20, "newer than this program")]
)
def test_what_has_no_prototypes(
    version: int | None, sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = None
    if version:
        made = nine_words()
        made.add(version, "", 0)
    assert cli.main(["survey", "--kernel", kernel(tmp_path, made)]) == Exit.USAGE
    shown = capsys.readouterr()
    assert shown.out == ""
    assert sentence in shown.err and len(shown.err.splitlines()) == 2


def test_what_a_tree_does_itself_is_not_known(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["survey", "--kernel", kernel(tmp_path, nine_words()), "--variant", "tree"]
    assert cli.main(words) == Exit.USAGE
    assert "'tree' cannot be predicted" in capsys.readouterr().err


def test_a_kernel_that_does_not_exist(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["survey", "--kernel", "debian:6.10"]) == Exit.USAGE
    assert "There is no kernel 'debian:6.10'." in capsys.readouterr().err
