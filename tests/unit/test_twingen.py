# SPDX-License-Identifier: GPL-2.0-only
"""The functions that an ftrace redirect leads to."""

from __future__ import annotations

from harness.cases.catalog import Catalog
from harness.model.case import Case
from harness.modules import twingen
from tests.unit.factory import case


def twin(made: Case) -> str:
    text = twingen.source([made])
    return text[: text.index("void * const probe_twins")]


def test_a_twin_looks_at_each_argument_and_passes_them_on() -> None:
    made = case("{types: {large: ['long[3]']}, arguments: [long, large]}", "one-two")
    text = twin(made)
    assert "static __probed int jpcase_one_two_twin(long a0,\n" in text
    assert "probe_look(LOOK_BEFORE, 0, &a0, sizeof(a0));" in text
    assert "probe_look(LOOK_BEFORE, 1, &a1, sizeof(a1));" in text
    assert "return jpcase_one_two_target(a0, a1);" in text


def test_a_twin_cannot_pass_on_a_tail() -> None:
    text = twin(case("{arguments: [long, '...', long]}"))
    assert "va_arg(ap, long)" in text
    assert "return 0;" in text
    assert "return jpcase" not in text


def test_the_lists_have_all_cases_in_order() -> None:
    every = list(Catalog().cases.values())
    text = twingen.source(every)
    twins = text[text.index("probe_twins[]") :].partition("};")[0].splitlines()[1:]
    numbers = text.partition("BTF_ID_LIST_GLOBAL")[2].splitlines()[1 : len(every) + 1]
    assert f"(probe_modifiable, {len(every)})" in text
    for made, entry, number in zip(every, twins, numbers, strict=True):
        name = f"jpcase_{made.name.replace('-', '_')}"
        assert entry == ("\tNULL," if made.real else f"\t{name}_twin,")
        assert number == ("BTF_ID_UNUSED" if made.real else f"BTF_ID(func, {name}_target)")
