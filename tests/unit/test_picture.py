# SPDX-License-Identifier: GPL-2.0-only
"""The picture of the stack shows what the model predicts, to the byte."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from harness import cli
from harness.cases.catalog import Catalog
from harness.errors import Exit
from harness.measure.stack_map import WORD
from harness.model.assumed import RecordPosition, lay_out
from harness.model.predict import predict
from harness.report.stack_picture import HEIGHT, WORD_MAX, svg

CATALOG = Catalog()
VARIANTS = list(CATALOG.variants.values())
SVG = "{http://www.w3.org/2000/svg}"


@pytest.mark.parametrize("name", sorted(CATALOG.cases))
def test_every_case_is_drawn_as_it_is_predicted(name: str) -> None:
    case = CATALOG.cases[name]
    hit, places = lay_out(case, RecordPosition.BELOW)
    for variant in VARIANTS:
        root = ElementTree.fromstring(svg(case, [variant], hit, places))
        prediction = predict(case, variant.expected, hit, places)
        drawn = {
            kind: sum(float(r.get("height", "")) for r in root.iter(f"{SVG}rect") if kind in (
                r.get("class") or "")) for kind in ("corrupt", "saved")
        }  # fmt: skip
        corrupt = sum(map(len, prediction.corrupt.values())) + len(prediction.lost)
        scale = WORD_MAX / WORD
        height = float(root.get("viewBox", "").split()[3])
        if height < HEIGHT:
            # It is not scaled to fit, so that the size of a pixel in bytes is known.
            assert drawn["corrupt"] == pytest.approx(corrupt * scale, abs=1)
        assert bool(drawn["corrupt"]) == bool(corrupt)
        assert bool(drawn["saved"]) == bool(prediction.window)
        words = [text.text for text in root.iter(f"{SVG}text")]
        assert prediction.label in words
        assert variant.name in words


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "picture.svg"
    assert cli.main(["predict", "--case", "stack-17", "--svg", str(file)]) == Exit.AGREES
    assert file.read_text().count('class="name"') == 1 + len(VARIANTS)
    assert cli.main(["predict", "--svg", str(file)]) == Exit.USAGE
    assert "A picture is of one case" in capsys.readouterr().err
