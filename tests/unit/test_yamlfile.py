# SPDX-License-Identifier: GPL-2.0-only
"""What YAML means, and the error for what it may not say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from harness.cases.schema import CaseFile, KernelFile, VariantFile
from harness.errors import ConfigError, Exit
from harness.host.yamlfile import read
from harness.model.context import Context
from harness.nightly.matrix import File
from harness.settings import Settings

MINIMAL: dict[Any, str] = {
    CaseFile: "shows: x\narguments: [long]\n",
    VariantFile: "rule: none\nsaves: x\norigin: x\n",
    KernelFile: "shows: x\nseries: '6.1'\n",
    File: "shows: x\nkernels: ['debian:6.1']\n",
    Settings: "archive: {sources: [{uri: x, suites: [y]}]}\n",
}


def refusal(path: Path, text: str, schema: Any) -> str:
    """Return the error for a file's text, without the file's name."""
    path = path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        read(path, schema)
    assert caught.value.exit_status is Exit.USAGE
    assert caught.value.sentence.startswith(f"{path}:")
    sentence = caught.value.sentence.removeprefix(f"{path}")
    # No word and no path of the validator's is shown.
    assert not set("`$") & set(sentence)
    assert "Expected" not in sentence
    return sentence


@pytest.mark.parametrize("schema", MINIMAL)
def test_a_key_is_given_once(tmp_path: Path, schema: Any) -> None:
    """Else the last one wins, and nobody is reported."""
    text = MINIMAL[schema]
    (tmp_path / "ok.yaml").write_text(text)
    assert read(tmp_path / "ok.yaml", schema)
    again = text.splitlines()[-1]
    key, count = again.partition(":")[0], len(text.splitlines())
    assert refusal(tmp_path, f"{text}{again}\n", schema) == (
        f":{count + 1}: '{key}' was given in line {count} already; keep one."
    )


def test_a_key_is_given_once_wherever_it_is(tmp_path: Path) -> None:
    text = f"{MINIMAL[CaseFile]}handler:\n  dive: 8\n  overwrite: 0\n  'dive': 16\n"
    assert "'dive' was given in line 4 already" in refusal(tmp_path, text, CaseFile)
    text = f"{MINIMAL[CaseFile]}types: {{a: [long], b: [int], a: [int]}}\n"
    assert ":3: 'a' was given in line 3" in refusal(tmp_path, text, CaseFile)


def test_a_merged_key_may_be_given_again(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(f"{MINIMAL[CaseFile]}handler: {{<<: {{dive: 8, overwrite: 0}}, dive: 16}}\n")
    assert read(path, CaseFile).handler.dive == 16


@pytest.mark.parametrize(
    ("schema", "more", "sentence"),
    [
        (File, "compilers: gcc", ":3: compilers: give a list, not 'gcc'."),
        (File, "repetitions: many", ":3: repetitions: give a whole number, not 'many'."),
        (File, "repetitions: 1.5", ":3: repetitions: give a whole number, not '1.5'."),
        (File, "repetitions: true", ":3: repetitions: give a whole number, not true."),
        (File, "deadline: soon", ":3: deadline: give a number, not 'soon'."),
        (File, "deadline: .nan", ":3: '.nan': give a number that is finite."),
        (File, "fuzz: 7", ":3: fuzz: give fields, of count, seed, not '7'."),
        (File, "fuzz:\n  cuont: 7", ":4: fuzz.cuont: there is no such field. The nearest: count."),
        (File, "fuzz: {x: 7}", ":3: fuzz.x: there is no such field. There are: count, seed."),
        (File, "cost:\n  growth: [2]", ":4: cost.growth: give a number, not a list."),
        (File, "variants:", ":3: variants: give a list; there is nothing."),
        (
            File,
            "cases:\n- stack-9\n- 9",
            ":5: cases[1]: give text; put it in quotes, as YAML has a meaning of its own for it.",
        ),
        (File, "cases: [{stack-9: }]", ":3: cases[0]: give text, not fields."),
        (KernelFile, "suites: sid", ":3: suites: give a list, not 'sid'."),
        (
            CaseFile,
            "context: softly",
            f":3: context: give {' or '.join(repr(one.value) for one in Context)}, not"
            " 'softly'. The nearest: softirq.",
        ),
        (CaseFile, "frame_pointer: no", ":3: frame_pointer: give 'invalid' or 'valid', not false."),
        (CaseFile, "handler: {assign: some}", "assign: give 'all' or a list, not 'some'."),
        (CaseFile, "handler: {assign: [x]}", "handler.assign[0]: give a whole number, not 'x'."),
        (CaseFile, "handler: {consume: {argument: 1}}", "handler.consume: 'words' is missing."),
        (CaseFile, "types: {a: {member: [int]}}", "types.a.member: there is no such field. The ne"),
        (CaseFile, "types: {a: [NO]}", "types.a[0]: give text or fields, of members, keyword,"),
        (CaseFile, "types: {a: [{members: 3}]}", "types.a[0].members: give a list, not '3'."),
        (CaseFile, "types: {1: [int]}", ":3: types.1: put the name '1' in quotes."),
        (CaseFile, "types: [a]", ":3: types: give fields, as 'name: value', not a list."),
        (CaseFile, "object: {writer: me}", "give 'handler' or 'interrupt' or 'cpu', not 'me'."),
        (CaseFile, "[a]: b", ":3: a list is no name of a field."),
        (CaseFile, "--- x", ":3: not YAML: expected a single document in the stream, but found"),
    ],
)
def test_what_is_allowed_is_named(tmp_path: Path, schema: Any, more: str, sentence: str) -> None:
    assert sentence in refusal(tmp_path, f"{MINIMAL[schema]}{more}\n", schema)


@pytest.mark.parametrize(
    ("schema", "text", "sentence"),
    [
        (KernelFile, "shows: x\nseries: 6.10\n", ":2: series: give text; put it in quotes"),
        (File, "shows: x\nkernels: debian:6.1\n", ":2: kernels: give a list, not 'debian:6.1'."),
        (CaseFile, "", ": the file is empty; give shows, arguments."),
        (CaseFile, "- x\n", ": give fields, of shows, arguments,"),
        (CaseFile, "{a: " * 900 + "}" * 900, ": nested too deeply."),
        (CaseFile, "a: [\n", ":2: not YAML: while parsing a"),
        (Settings, "archive: {sources: {uri: x}}", ":1: archive.sources: give a list, not fields."),
    ],
)
def test_a_file_that_says_something_else(
    tmp_path: Path, schema: Any, text: str, sentence: str
) -> None:
    assert sentence in refusal(tmp_path, text, schema)


def test_whatever_is_refused_is_explained(tmp_path: Path) -> None:
    """Give each field of each schema what no field takes."""
    path = tmp_path / "mine.yaml"
    for schema, text in MINIMAL.items():
        for field in msgspec.structs.fields(schema):
            rest = "".join(
                f"{line}\n" for line in text.splitlines() if not line.startswith(f"{field.name}:")
            )
            for value in ("[[{}]]", "2016-07-01"):
                path.write_text(f"{rest}{field.name}: {value}\n")
                with pytest.raises(ConfigError, match=rf":\d+: {field.name}.*give "):
                    read(path, schema)
