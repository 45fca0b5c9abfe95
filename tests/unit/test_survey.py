# SPDX-License-Identifier: GPL-2.0-only
"""A survey counts functions by where the model places what they take."""

from __future__ import annotations

import csv
import gc
import io
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from harness.abi import aapcs64
from harness.cases.catalog import Catalog
from harness.errors import ConfigError
from harness.measure.survey import Survey, changes, survey
from harness.model.predict import Damage
from harness.prototypes.btf import Btf
from harness.prototypes.source import Prototypes
from harness.prototypes.types import Types
from harness.report.survey import documents, tables
from tests.unit.made_btf import STRUCT, Maker
from tests.unit.test_printable import HOSTILE, check

SCHEMA = json.loads((Path(documents.__file__).parent / "schema.json").read_text())
VARIANTS = Catalog().select_variants(["*", "fixed:8"])


def made(*, words: int = 9, name: str = "") -> Maker:
    """Return functions of each sort; `words` is how many `words` takes."""
    btf = Maker()
    long = btf.integer(f"long{name}", 8)
    pair = btf.composite(STRUCT, f"pair{name}", 16, [("a", long, 0), ("b", long, 64)])
    big = btf.composite(STRUCT, f"big{name}", 24, [("a", btf.array(long, 3), 0)])
    vector = btf.array(btf.integer("char", 1), 16)
    nine = [(f"a{number}", long) for number in range(9)]
    btf.function(f"registers{name}", [("a", long), ("big", btf.pointer(big))])
    btf.function(f"words{name}", nine[:1] * words, long)
    btf.function(f"by_reference{name}", [("big", big)])
    btf.function(f"both{name}", [*nine[:8], ("big", big)])
    btf.function(f"print{name}", [("format", btf.pointer())], more=True)
    # In x1, x2 or in x2, x3.
    btf.function(f"pair{name}", [("a", long), ("pair", pair)])
    # The last argument is in x7 or on the stack.
    btf.function(f"many{name}", [*nine[:1], ("pair", pair), *nine[:5]])
    btf.function(f"vector{name}", [("vector", vector)])
    return btf


def surveyed(btf: Maker, *, symbols: frozenset[str] | None = None) -> Survey:
    types = Types(Btf(btf.data()))
    unread = {"old": "it has no BTF"}
    prototypes = Prototypes(
        "made", "1.0", "vmlinux, its BTF", types, (), (), unread, 8, symbols
    )  # fmt: skip
    return survey(prototypes, VARIANTS)


SURVEY = surveyed(made(), symbols=frozenset({"words", "print", "copy_page", "words.isra.0"}))


def test_each_function_is_counted_once_where_it_belongs() -> None:
    assert documents.counts(SURVEY) == {
        "functions": 8,
        "in_registers": 2,
        "stacked": 2,
        "by_reference": 2,
        "variadic": 1,
        "unknown": 2,
        "other_registers": 1,
    }
    assert [one.name for one in SURVEY.unknown] == ["many", "vector"]
    assert SURVEY.histogram == {8: 2}
    ((part, count),) = SURVEY.aggregates
    assert (part.type, part.size, count) == ("struct big", 24, 2)


def test_garbage_is_looked_for_again_after_a_survey() -> None:
    surveyed(made())
    assert gc.isenabled()
    gc.disable()
    try:
        surveyed(made())
        assert not gc.isenabled()
    finally:
        gc.enable()
    broken = made()
    broken.function("x", [("a", 1000)])
    with pytest.raises(ConfigError, match="refers to a type 1000"):
        surveyed(broken)
    assert gc.isenabled()


def test_symbols_beside_prototypes() -> None:
    assert SURVEY.symbols
    assert SURVEY.symbols.without_prototype == 1
    assert SURVEY.symbols.clones == 1
    assert SURVEY.symbols.without_code == 6
    assert surveyed(made()).symbols is None


def risks(btf: Maker) -> dict[str, tuple[int, int, int, int, dict[str, int]]]:
    return {
        one.variant.name: (
            one.safe,
            one.unsafe,
            one.unknown,
            one.kept,
            {kind.value: count for kind, count in one.damage.items()},
        )
        for one in surveyed(btf).risks
    }


def only(words: int) -> Maker:
    """Return the BTF of one function of so many words."""
    btf = Maker()
    long = btf.integer("long", 8)
    btf.function("words", [("a", long)] * words)
    return btf


@pytest.mark.parametrize(
    ("words", "variant", "expected"),
    [
        (8, "none", (1, 0, 0, 1, {})),
        (9, "none", (0, 1, 0, 0, {"leak": 1})),
        # The window is more than the arguments, or less, or exactly them.
        (8, "fixed-64", (0, 1, 0, 1, {"rollback": 1})),
        (14, "fixed-64", (0, 1, 0, 1, {"rollback": 1})),
        # SP stays a multiple of 16.
        (15, "fixed-64", (1, 0, 0, 1, {})),
        (16, "fixed-64", (1, 0, 0, 1, {})),
        (17, "fixed-64", (0, 1, 0, 0, {"leak": 1})),
        (24, "fixed-128", (1, 0, 0, 1, {})),
        (25, "fixed-128", (0, 1, 0, 0, {"leak": 1})),
        (9, "fixed:8", (1, 0, 0, 1, {})),
        (9, "thread-size", (0, 1, 0, 1, {"rollback": 1})),
        (9, "fp-delta", (0, 1, 0, 1, {"rollback": 1})),
        (26, "fp-delta", (0, 1, 0, 0, {"skipped": 1})),
        (9, "v15", (0, 1, 0, 1, {"overflow": 1, "rollback": 1})),
    ],
)
def test_what_a_variant_means(words: int, variant: str, expected: tuple[Any, ...]) -> None:
    assert risks(only(words))[variant] == expected


def test_what_a_variant_means_for_each_sort() -> None:
    found = risks(made())
    # words, by_reference, both; what is unknown or variadic may be at risk, too.
    assert found["none"] == (2, 3, 3, 3, {"leak": 1, "by-ref": 2})
    # The copy of `by_reference` is at the caller's SP, and that of `both` is above its argument.
    assert found["fixed-64"][3] == 6
    assert found["fp-delta"][4]["by-ref"] == 2
    for safe, unsafe, unknown, _, _ in found.values():
        assert safe + unsafe + unknown == 8


def test_what_changed() -> None:
    last = made(words=11)
    last.function("new", [("big", 4)])
    last.function("plain", [("a", 1)])
    found = changes(SURVEY, surveyed(last))
    assert [
        (one.name, one.before and one.before.stacked, one.after and one.after.stacked)
        for one in found
    ] == [("new", None, 0), ("words", 8, 24)]
    assert changes(SURVEY, SURVEY) == []
    (gone,) = [one for one in changes(surveyed(last), SURVEY) if one.name == "new"]
    assert gone.before and gone.after is None


@pytest.mark.parametrize("name", [None, "both", "many", "pair", "print"])
def test_the_json_is_as_its_schema_says(name: str | None) -> None:
    document = documents.document([SURVEY, surveyed(made(words=11))], name)
    jsonschema.validate(document, SCHEMA)
    for one in document.get("functions", []):
        assert one["name"] == name
    del document["kernels"][0]["variants"]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(document, SCHEMA)


def test_a_function_slot_by_slot(capsys: pytest.CaptureFixture[str]) -> None:
    tables.print_function([SURVEY], "both")
    shown = capsys.readouterr().out
    assert "struct big big  24     address of a copy in SP+0  B.4, C.13, C.17" in shown
    assert "8 bytes on the stack." in shown
    tables.print_function([SURVEY], "pair")
    assert "x1, x2 (or x2, x3, with an alignment attribute)" in capsys.readouterr().out
    tables.print_function([SURVEY], "many")
    assert "The placement is not known: struct pair pair: BTF does not say" in (
        capsys.readouterr().out
    )


def test_csv_has_each_function() -> None:
    rows = list(csv.DictReader(io.StringIO(documents.as_csv([SURVEY]).decode())))
    assert [row["function"] for row in rows] == [one.name for one in SURVEY.functions]
    (both,) = (row for row in rows if row["function"] == "both")
    assert (both["stacked"], both["by_reference"], both["aggregates"]) == ("8", "24", "struct big")


def test_the_tables(capsys: pytest.CaptureFixture[str]) -> None:
    tables.print_surveys([SURVEY])
    shown = capsys.readouterr().out
    assert "with stacked arguments          2      0        2" in shown
    assert "Not counted: old: it has no BTF." in shown
    assert "1 functions have no prototype" in shown
    tables.print_surveys([SURVEY, surveyed(made(words=11))])
    shown = capsys.readouterr().out
    assert "more on the stack\nbefore  after" in shown
    assert "1.0: prototypes from vmlinux, its BTF, and from 0 modules." in shown


def test_names_act_on_nobody(capsys: pytest.CaptureFixture[str]) -> None:
    # A zero byte ends a name in BTF.
    hostile = surveyed(made(name=HOSTILE.replace("\0", "")))
    tables.print_surveys([hostile, SURVEY], everything=True)
    tables.print_survey(hostile)
    check(capsys.readouterr().out)
    check(documents.as_csv([hostile]).decode())


@pytest.mark.parametrize(("name", "value"), [("GENERAL_REGISTERS", 7), ("GENERAL_REGISTERS", 9)])
def test_a_wrong_rule_shows(name: str, value: int, monkeypatch: pytest.MonkeyPatch) -> None:
    right = documents.counts(SURVEY), risks(only(9))
    monkeypatch.setattr(aapcs64, name, value)
    assert (documents.counts(surveyed(made())), risks(only(9))) != right


def test_damage_is_that_of_the_model() -> None:
    kinds = {kind for risk in SURVEY.risks for kind in risk.damage}
    assert kinds == set(Damage) - {Damage.MISSED, Damage.SKIPPED}
