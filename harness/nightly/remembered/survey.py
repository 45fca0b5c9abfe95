# SPDX-License-Identifier: GPL-2.0-only
"""What a nightly run remembers of a survey: the counts, and the worst of its functions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from harness.measure.at_risk import Risk
from harness.measure.survey import Function, Survey
from harness.nightly.unit import (
    SurveyedAggregate,
    SurveyedFunction,
    SurveyedVariant,
    SurveyResult,
)
from harness.report.survey.documents import counts

# How many functions, types and reasons are remembered.
WORST = 10


def remembered(survey: Survey) -> SurveyResult:
    """Return what is stored of a survey."""
    of = counts(survey)
    return SurveyResult(
        functions=of["functions"],
        in_registers=of["in_registers"],
        stacked=of["stacked"],
        by_reference=of["by_reference"],
        variadic=of["variadic"],
        unknown=of["unknown"],
        modules=len(survey.modules),
        unread=dict(Counter(survey.unread.values()).most_common(WORST)),
        histogram=list(survey.histogram.items()),
        variants=[_variant(risk) for risk in survey.risks],
        worst=[_function(one) for one in survey.stacked[:WORST]],
        aggregates=list(_largest(survey)),
    )


def _variant(risk: Risk) -> SurveyedVariant:
    return SurveyedVariant(
        variant=risk.variant.name,
        safe=risk.safe,
        unsafe=risk.unsafe,
        unknown=risk.unknown,
        kept=risk.kept,
        damage=dict(sorted((kind.value, count) for kind, count in risk.damage.items())),
    )


def _function(one: Function) -> SurveyedFunction:
    return SurveyedFunction(
        name=one.name,
        module=one.prototype.module,
        stacked=one.stacked,
        prototype=one.prototype.declared,
    )


def _largest(survey: Survey) -> Iterator[SurveyedAggregate]:
    largest = sorted(survey.aggregates, key=lambda found: (-found[0].size, found[0].type))
    for part, parameters in largest[:WORST]:
        yield SurveyedAggregate(type=part.type, size=part.size, parameters=parameters)
