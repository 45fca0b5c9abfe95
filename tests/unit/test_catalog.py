# SPDX-License-Identifier: GPL-2.0-only
"""What YAML may say, and the error for what it may not."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.cases.catalog import Catalog
from harness.cases.reader import load_case, load_variant
from harness.errors import ConfigError, Exit
from harness.model.policy import Policy, Rule
from harness.modules import casegen
from tests.unit.factory import case


def test_our_own_catalog() -> None:
    catalog = Catalog()
    # From least saved to most, whichever others there are.
    ours = ["none", "fixed-64", "fixed-128", "v15", "fp-delta", "thread-size", "signature"]
    assert [name for name in catalog.variants if name in ours] == ours
    assert len(catalog.cases) >= 40
    assert "debian:6.1" in catalog.kernels
    words = [9, 10, 12, 16, 17, 24, 25, 28, 40]
    assert {f"stack-{count}" for count in words} <= set(catalog.cases)


def test_every_default_value_shows_a_change_and_is_not_zero() -> None:
    for made in Catalog().cases.values():
        if made.name == "mix-values":
            continue
        for argument in made.arguments:
            assert all(
                argument.value[offset] for offset in argument.type.value_bytes if argument.value
            )


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{arguments: [9 x lung]}", "no type 'lung'. The nearest: long"),
        ("{arguments: []}", "arguments: give 1 to 64"),
        ("{arguments: [65 x long]}", "arguments: give 1 to 64"),
        ("{arguments: [long, double]}", "argument 1: a kernel function cannot take 'double'"),
        ("{arguments: ['...', long]}", "C needs a named argument before"),
        ("{arguments: [long, '...']}", "give '...' once, before the variadic ones"),
        ("{arguments: [long, '...', int, '...', int]}", "give '...' once, before the variadic"),
        ("{arguments: [0 x long, long]}", "arguments: give 1 to 64"),
        ("{arguments: [1000000000000 x long]}", "arguments: give 1 to 64"),
        (
            "{types: {b: ['char[1000000000000]']}, arguments: [b]}",
            "than 65,536 members in all",
        ),
        ("{arguments: [long, '...', char]}", "argument 1: a variadic 'char' is not supported"),
        ("{arguments: [{type: char, value: 256}]}", "0x100 does not fit 1 bytes"),
        ("{arguments: [{type: bool, value: 2}]}", "2 is not a bool"),
        ("{arguments: [long], handler: {assign: [0, 0]}}", "name an argument only once"),
        ("{arguments: [long], handler: {assign: [1]}}", "there is no argument 1; the last is 0"),
        (
            "{arguments: [9 x long], handler: {overwrite: 9}}",
            "9 bytes from SP reach past the argument area of 8 bytes",
        ),
        (
            "{arguments: [9 x long], handler: {overwrite: 8, assign: all}}",
            "assign and overwrite would undo each other",
        ),
        (
            "{types: {b: ['long[3]']}, arguments: [8 x long, b], handler: {overwrite: 1}}",
            "reaches the address of argument 8",
        ),
        ("{arguments: [long], forwarded: [0]}", "argument 0 is not passed by reference"),
        (
            "{types: {b: ['long[3]']}, arguments: [{type: b, boxed: true}], forwarded: [0]}",
            "argument 0 is not passed by reference",
        ),
        ("{arguments: [long], object: {argument: 1}}", "there is no argument 1"),
        ("{arguments: [long], object: {argument: 0}}", "argument 0 has to be forwarded"),
        (
            "{types: {b: ['long[3]']}, arguments: [b], forwarded: [0], object: {argument: 0},"
            " handler: {assign: [0]}}",
            "argument 0 has to be forwarded, and only the writer's",
        ),
        (
            "{types: {b: ['long[3]']}, arguments: [b], forwarded: [0],"
            " object: {argument: 0, size: 24}}",
            "an argument has a kind, a size and a frame of its own",
        ),
        ("{arguments: [va_list], handler: {assign: all}}", "a va_list can only be consumed"),
        (
            "{arguments: [long], handler: {consume: {argument: 0, words: 1}}}",
            "needs an argument that is a va_list",
        ),
        ("{arguments: [long], object: {kind: list, size: 8}}", "has a size of its own"),
        ("{arguments: [long], object: {writer: cpu}}", "object.size: give a size in bytes"),
        (
            "{arguments: [long], context: hardirq, nested: interrupt}",
            "a handler in a hard interrupt is not interrupted",
        ),
        ("{arguments: [long], object: {size: 0}}", "object.size: give 1 to 256"),
        ("{arguments: [long], handler: {dive: 100000}}", "handler.dive: give 0 to"),
        ("{types: {b: []}, arguments: [b]}", "types.b: a struct needs a member"),
        ("{types: {long: [int]}, arguments: [long]}", "'long' is a type already"),
        ("{types: {b: ['int[0]']}, arguments: [b]}", "an array needs an element"),
        ("{types: {b: {members: [int], aligned: 3}}, arguments: [b]}", "not a power of two"),
        ("{types: {b: ['long[600]']}, arguments: [b]}", "more than 4096 bytes in all"),
        ("{types: {b: ['bool x:2']}, arguments: [b]}", "'bool x:2': no such bit-field"),
    ],
)
def test_a_case_that_cannot_be(text: str, sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        case(text)
    assert sentence in str(caught.value)
    assert caught.value.exit_status is Exit.USAGE


@pytest.mark.parametrize(
    ("text", "place", "sentence"),
    [
        ("arguments: [long\n", ":2", "not YAML"),
        ("shows: x\narguments: 3\n", ":2", "arguments: give a list, not '3'."),
        (
            "shows: x\narguments: [long]\nhandlr: {}\n",
            ":3",
            "handlr: there is no such field. The nearest: handler.",
        ),
        ("arguments: [long]\n", "", "'shows' is missing"),
        ("shows: x\narguments: [lung]\n", "", "no type 'lung'"),
    ],
)
def test_an_error_names_the_file(tmp_path: Path, text: str, place: str, sentence: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_case(path)
    assert str(caught.value).startswith(f"{path}{place}: ")
    assert sentence in str(caught.value)


def test_a_bad_variant(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("rule: fixed\nsize: 99999\nsaves: x\norigin: x\n")
    with pytest.raises(ConfigError, match="size: give 0 to 16384"):
        load_variant(path)
    path.write_text("rule: some\nsaves: x\norigin: x\n")
    with pytest.raises(ConfigError, match="rule: give 'none' or 'fixed'"):
        load_variant(path)
    path.write_text("rule: kernel\nsaves: x\norigin: x\n")
    with pytest.raises(ConfigError, match="'kernel' is what a tree's own jprobes do"):
        load_variant(path)


@pytest.mark.parametrize("rule", ["none", "fixed", "v15", "fp-delta", "thread-size", "signature"])
def test_a_rule_has_a_size_or_none(tmp_path: Path, rule: str) -> None:
    """A rule without its size would save 0 bytes; a size that a rule does not use is an error."""
    path = tmp_path / "mine.yaml"
    text = f"rule: {rule}\nsaves: x\norigin: x\n"
    sized, unsized = f"{text}size: 64\n", text
    if rule in ("none", "thread-size", "signature"):
        sized, unsized = unsized, sized
    path.write_text(sized)
    assert load_variant(path).policy.rule is Rule(rule)
    path.write_text(unsized)
    with pytest.raises(ConfigError, match=f"size: rule '{rule}' (needs one|has none)"):
        load_variant(path)


def test_selection() -> None:
    catalog = Catalog()
    assert [c.name for c in catalog.select_cases(["stack-9", "dive*"])] == [
        "stack-9", "dive-assign", "dive",
    ]  # fmt: skip
    assert len(catalog.select_cases([])) == len(catalog.cases)
    assert [v.name for v in catalog.select_variants(["!f*", "!v15", "!t*"])] == [
        "none", "signature",
    ]  # fmt: skip
    assert [c.name for c in catalog.select_cases(["!dive-*", "dive*"])] == ["dive"]
    assert len(catalog.select_cases(["!stack-9"])) == len(catalog.cases) - 1
    (made,) = catalog.select_variants(["fixed:96"])
    assert (made.name, made.policy) == ("fixed:96", Policy(Rule.FIXED, 96))
    with pytest.raises(ConfigError, match=r"no case 'stak-9'\. The nearest: stack-9"):
        catalog.select_cases(["stak-9"])
    with pytest.raises(ConfigError, match=r"no variant 'fixed-12'\. The nearest: fixed-128"):
        catalog.select_variants(["fixed-12"])
    with pytest.raises(ConfigError, match=r"no case 'stak-9'"):
        catalog.select_cases(["!stak-9"])
    with pytest.raises(ConfigError, match="All cases that are chosen are left out"):
        catalog.select_cases(["stack-9", "!stack-*"])
    with pytest.raises(ConfigError, match="no stack is larger"):
        catalog.select_variants(["fixed:16385"])


def test_a_users_own_directory(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("shows: x\narguments: [long]\n")
    (tmp_path / "variants").mkdir()
    (tmp_path / "variants/fixed-8.yaml").write_text("rule: fixed\nsize: 8\nsaves: x\norigin: x\n")
    catalog = Catalog([tmp_path])
    assert "mine" in catalog.cases
    assert catalog.variants["fixed-8"].policy.size == 8
    with pytest.raises(ConfigError, match="no such directory"):
        Catalog([tmp_path / "nowhere"])


@pytest.mark.parametrize("name", ["a_b", "A", "1a", "a-", "a--b", "x" * 81, "a b"])
def test_a_name_that_no_case_has(tmp_path: Path, name: str) -> None:
    path = tmp_path / f"{name}.yaml"
    path.write_text("shows: x\narguments: [long]\n")
    with pytest.raises(ConfigError, match="lower-case words joined by hyphens"):
        load_case(path)


def test_c_of_a_forwarded_argument() -> None:
    made = case("{types: {big: ['long[3]']}, arguments: [long, big], forwarded: [1]}", "fwd")
    text = casegen.case_source(made)
    assert 'extern int jpcase_fwd_entry(long a0,\n\tvoid *a1) asm("jpcase_fwd_target");' in text
    assert "jpcase_fwd_inner(&a1);" in text
