# SPDX-License-Identifier: GPL-2.0-only
"""The cases' C source."""

from __future__ import annotations

from harness.catalog import Catalog
from harness.kernel import casegen


def test_a_compilers_line_is_of_a_case() -> None:
    cases = Catalog().select_cases(["stack-9", "by-ref-24"])
    text = casegen.source(cases)
    found = {
        line.split("(")[0]: casegen.case_at(text, number)
        for number, line in enumerate(text.splitlines(), start=1)
    }
    for case in cases:
        assert found[f"__probed void {casegen.symbol(case, 'target')}"] == case.name
    assert found["struct probe_case probe_cases[] = {"] == ""
    assert casegen.case_at(text, 1) == ""
