# SPDX-License-Identifier: GPL-2.0-only
"""Finds where values do not fit a schema, in words of YAML."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec import inspect

from harness.errors import nearest

# The path to a value, as keys and positions.
Place = tuple[str | int, ...]

_SCALARS: dict[type[inspect.Type], tuple[type | tuple[type, ...], str]] = {
    inspect.StrType: (str, "text"),
    inspect.IntType: (int, "a whole number"),
    inspect.FloatType: ((int, float), "a number"),
    inspect.BoolType: (bool, "true or false"),
    inspect.NoneType: (type(None), ""),
}


def find(schema: type, value: Any) -> tuple[Place, str] | None:
    """Return where a value first does not fit a schema and a sentence about it, or None."""
    return _problem(inspect.type_info(schema), value, ())


def _problem(type_: inspect.Type, value: Any, place: Place) -> tuple[Place, str] | None:
    """Return where a value first does not fit its type and a sentence about it, or None."""
    match type_:
        case inspect.UnionType():
            return _problem_of_union(type_, value, place)
        case inspect.StructType():
            return _problem_of_struct(type_, value, place)
        case inspect.ListType() if isinstance(value, list):
            for index, item in enumerate(value):
                if found := _problem(type_.item_type, item, (*place, index)):
                    return found
            return None
        case inspect.DictType() if isinstance(value, dict):
            for key, item in value.items():
                if not isinstance(key, str):
                    return (*place, str(key)), f"put the name '{key}' in quotes."
                if found := _problem(type_.value_type, item, (*place, key)):
                    return found
            return None
        case inspect.LiteralType() | inspect.EnumType() if value in _choices(type_):
            return None
    if kind := _SCALARS.get(type(type_)):
        boolean = isinstance(value, bool) and kind[0] is not bool
        if isinstance(value, kind[0]) and not boolean:
            return None
    return place, _give(_allowed(type_), value)


def _problem_of_union(
    type_: inspect.UnionType, value: Any, place: Place
) -> tuple[Place, str] | None:
    """Return None where one type of a union fits, or else the problem with the closest one."""
    found = [(one, _problem(one, value, place)) for one in type_.types]
    if any(problem is None for _, problem in found):
        return None
    inside = [problem for _, problem in found if problem and problem[0] != place]
    if isinstance(value, dict):
        inside += [
            problem for one, problem in found if isinstance(one, inspect.StructType) and problem
        ]
    return inside[0] if inside else (place, _give(_allowed(type_), value))


def _problem_of_struct(
    type_: inspect.StructType, value: Any, place: Place
) -> tuple[Place, str] | None:
    fields = {field.encode_name: field for field in type_.fields}
    missing = [name for name, field in fields.items() if field.required]
    if value is None and not place:
        return place, f"the file is empty; give {', '.join(missing or fields)}."
    if not isinstance(value, dict):
        return place, _give(_allowed(type_), value)
    for key in value:
        if key not in fields:
            near = nearest(str(key), fields) or f" There are: {', '.join(fields)}."
            return (*place, str(key)), f"there is no such field.{near}"
    for name in missing:
        if name not in value:
            return place, f"'{name}' is missing."
    for name, item in value.items():
        if found := _problem(fields[name].type, item, (*place, name)):
            return found
    return None


def _choices(type_: inspect.LiteralType | inspect.EnumType) -> Sequence[Any]:
    if isinstance(type_, inspect.EnumType):
        return [member.value for member in type_.cls]
    return list(type_.values)


def _allowed(type_: inspect.Type) -> str:
    """Return what a type allows, in words."""
    match type_:
        case inspect.UnionType():
            return " or ".join(words for one in type_.types if (words := _allowed(one)))
        case inspect.StructType():
            return f"fields, of {', '.join(field.encode_name for field in type_.fields)}"
        case inspect.DictType():
            return "fields, as 'name: value'"
        case inspect.ListType():
            return "a list"
        case inspect.LiteralType() | inspect.EnumType():
            return " or ".join(f"'{choice}'" for choice in _choices(type_))
    return _SCALARS[type(type_)][1]


def _give(allowed: str, value: Any) -> str:
    if value is None:
        return f"give {allowed}; there is nothing."
    if "text" in allowed and not isinstance(value, list | dict):
        return f"give {allowed}; put it in quotes, as YAML has a meaning of its own for it."
    if isinstance(value, list | dict):
        shown = "a list" if isinstance(value, list) else "fields"
    else:
        shown = str(value).lower() if isinstance(value, bool) else f"'{value}'"
    near = nearest(value, allowed.split("'")[1::2]) if isinstance(value, str) else ""
    return f"give {allowed}, not {shown}.{near}"


def spelled(place: Place) -> str:
    """Return a place as text, such as "types.pair.members[2]"."""
    words = [f"[{step}]" if isinstance(step, int) else f".{step}" for step in place]
    return "".join(words).removeprefix(".")
