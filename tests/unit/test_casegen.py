# SPDX-License-Identifier: GPL-2.0-only
"""The cases' C source."""

from __future__ import annotations

import itertools
import re
import subprocess

from harness import resources
from harness.cases.catalog import Catalog
from harness.guest.fields import LINES
from harness.model.policy import Rule
from harness.modules import casefunctions, casegen
from tests.unit.factory import case

ROLES = ("target", "handler", "call", "inner", "entry", "values")


def test_a_compilers_line_is_of_a_case() -> None:
    cases = Catalog().select_cases(["stack-9", "by-ref-24"])
    text = casegen.source(cases)
    found = {
        line.split("(")[0]: casegen.case_at(text, number)
        for number, line in enumerate(text.splitlines(), start=1)
    }
    for made in cases:
        assert found[f"__probed int {casefunctions.symbol(made, 'target')}"] == made.name
    assert found["struct probe_case probe_cases[] = {"] == ""
    assert casegen.case_at(text, 1) == ""


def test_no_case_has_a_name_of_ours() -> None:
    """A case may have the name of a function of ours, a keyword or a macro of the kernel's."""
    for path in resources.kernel_modules().rglob("*.[chS]"):
        assert casefunctions.NAMESPACE not in path.read_text(), path
    for name in ("storm", "nested", "assembled", "int", "current", "case-count", "kernel"):
        made = case(
            "{types: {current: [long], list_head: ['long[3]']},"
            " arguments: [current, list_head], object: {kind: list}}",
            name,
        )
        text = casegen.case_source(made)
        defined = re.findall(r"^(?:static |const |__probed |void |int |u8 )+(\w+)[\[(]", text, re.M)
        defined += re.findall(r"^(?:struct|union|enum) (\w+) \{", text, re.M)
        assert len(defined) >= 6
        assert all(word.startswith(f"{casefunctions.NAMESPACE}_") for word in defined)


def test_no_two_cases_share_a_name() -> None:
    words = ("a", "b", "inner", "invalid", "fp", "target", "call", "frame")
    names = [*words, *("-".join(pair) for pair in itertools.product(words, words))]
    symbols = [
        casefunctions.symbol(case("arguments: [long]", n), role) for n in names for role in ROLES
    ]
    assert len(set(symbols)) == len(symbols)


def test_no_two_types_share_a_tag() -> None:
    """The words of a case's name and of a type's are kept apart."""
    one = casegen.case_source(case("{types: {c: [long]}, arguments: [c]}", "a-b"))
    other = casegen.case_source(case("{types: {b_c: [char]}, arguments: [b_c]}", "a"))
    (tag,), (tag_of_other,) = (re.findall(r"^struct (\w+) \{", t, re.M) for t in (one, other))
    assert tag != tag_of_other


def test_a_pointers_target_is_known_before() -> None:
    """Otherwise each parameter list declares a struct of its own, and no two are compatible."""
    text = casegen.case_source(
        case(
            "{types: {node: ['struct node *next', 'union current *']},"
            " arguments: [node, 'const struct path *', 'struct node *', 'void (*)(union x *)']}",
            "list",
        )
    )
    first = text[: text.index("struct jpcase_list__node {")]
    for tag in ("struct {}__node", "union {}__current", "struct {}__path", "union {}__x"):
        assert f"{tag.format('jpcase_list')};\n" in first
    assert "struct jpcase_list__node *m0;" in text
    # The name may be a macro of the kernel's.
    assert "union jpcase_list__current *m1;" in text
    assert "const struct jpcase_list__path *a1" in text
    assert "void (*a3)(union jpcase_list__x *)" in text


def test_c_of_types_as_people_write_them() -> None:
    text = casegen.case_source(
        case(
            """
            types:
              color: {keyword: enum, members: [RED, "MOST = 0xffffffffffffffff"], packed: true}
              least: {keyword: enum, members: ["LEAST = -0x8000000000000000"]}
              s:
                - "char name[2][6]"
                - {keyword: union, members: [u64, {members: [u8, u16], packed: true}]}
                - "void (*ops[2])(int)"
                - "struct file *files[3]"
            arguments: [s, color, least]
            """,
            "made",
        )
    )
    for line in (
        "jpcase_made__color__0 = 0L,",
        "jpcase_made__color__1 = 18446744073709551615UL,",
        "jpcase_made__least__0 = (-9223372036854775807L - 1),",
        "char m0[2][6];",
        "union {",
        "} __packed m1;",
        "void (*m2[2])(int);",
        "struct jpcase_made__file *m3[3];",
    ):
        assert line in text


def compiles(header: str) -> bool:
    """Return whether what C and Python share by number is the same in both."""
    enums = re.findall(r"^enum probe_(?:context|agent) \{.*?^\};", header, re.DOTALL | re.MULTILINE)
    assert len(enums) == 2
    checks = re.findall(r"^static_assert\(PROBE_\w+ == \d+\);", casegen.source([]), re.MULTILINE)
    text = "\n".join(["#include <assert.h>", *enums, *checks])
    command = ["gcc", "-std=gnu11", "-fsyntax-only", "-x", "c", "-"]
    return subprocess.run(command, input=text, text=True, capture_output=True).returncode == 0


def test_what_goes_by_number_has_one_order() -> None:
    header = (resources.kernel_modules() / "probe-targets/probe_targets.h").read_text()
    assert compiles(header)
    for one, other in (("SOFTIRQ", "HARDIRQ"), ("BY_INTERRUPT", "BY_CPU")):
        swapped = re.sub(
            rf"\tPROBE_{one},(.*?)\tPROBE_{other},", rf"\tPROBE_{other},\1\tPROBE_{one},", header,
            flags=re.DOTALL,
        )  # fmt: skip
        assert swapped != header
        assert not compiles(swapped)


def words_in_c(file: str, table: str) -> list[str]:
    """The words of a table of the module that plays cases, in its order."""
    text = (resources.kernel_modules() / "probe-targets" / file).read_text()
    (rows,) = re.findall(rf"{table}\[\w+\] = \{{(.*?)^\}};", text, re.DOTALL | re.MULTILINE)
    return re.findall(r"^\t\[\w+\] = \"([^\"]+)\",$", rows, re.MULTILINE)


def test_a_plan_has_the_words_of_the_policies() -> None:
    assert words_in_c("plan.c", "policy_names") == [rule.value for rule in Rule]


def test_a_record_has_the_lines_that_are_read() -> None:
    """In their order, with the fields that the comment of each one names."""
    header = (resources.kernel_modules() / "probe-targets/record.h").read_text()
    found = re.findall(
        r"^\tRECORD_([A-Z]+),\t*/\* ([^;]*?)(?:; ([^;]*?))? \*/$", header, re.MULTILINE
    )
    assert [
        (word.lower(), numbers.split(), strings.split()) for word, numbers, strings in found
    ] == [(line.word, list(line.numbers), list(line.strings)) for line in LINES]
