# SPDX-License-Identifier: GPL-2.0-only
"""Reads YAML files into a schema, or reports in a sentence what is wrong with one."""

from __future__ import annotations

import functools
import math
from collections.abc import Hashable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import yaml
from msgspec import inspect

from harness.errors import ConfigError, nearest
from harness.host import given

T = TypeVar("T")
# Limits: a file's bytes; a text's characters, so that each number is short enough for int(); the
# values of a file, counted again for each alias; and how deeply values are nested.
SIZE_MAX = given.MIB
TEXT_MAX = 4096
VALUES_MAX = 100_000
DEPTH_MAX = 50
# The path to a value, as keys and positions.
Place = tuple[str | int, ...]


def read(path: Path, schema: type[T]) -> T:
    """Read a YAML file into `schema`; raise ConfigError that names the place."""
    text = given.read(path, SIZE_MAX)
    try:
        loaded = _loaded(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line = f":{mark.line + 1}" if mark else ""
        context = f"{error.context}, " if error.context else ""
        raise ConfigError(f"{path}{line}: not YAML: {context}{error.problem}.") from error
    except _Refused as error:
        raise ConfigError(f"{path}:{error.line}: {error}") from error
    except RecursionError:
        raise ConfigError(f"{path}: nested too deeply.") from None
    except (ValueError, yaml.YAMLError) as error:
        # An impossible date, for example.
        raise ConfigError(f"{path}: cannot be read: {error}.") from error
    try:
        return msgspec.convert(loaded, schema)
    except OverflowError as error:
        raise ConfigError(f"{path}: a number is too large: {error}.") from error
    except msgspec.ValidationError as error:
        found = _problem(inspect.type_info(schema), loaded, ())
        if not found:
            raise ConfigError(f"{path}: {error}.") from error
        place, sentence = found
        where = f"{_spelled(place)}: " if place else ""
        raise ConfigError(f"{path}{_line(text, place)}: {where}{sentence}") from error


class _Refused(Exception):
    """The file is valid YAML, but hardly what the user meant."""

    def __init__(self, line: int, sentence: str) -> None:
        super().__init__(sentence)
        self.line = line


def _loaded(text: bytes) -> Any:
    """Return the document; raise yaml's errors, and _Refused for what would take all memory."""
    loader = _loader()(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        _check_size(node)
        return loader.construct_document(node)
    finally:
        loader.dispose()


def _check_size(root: yaml.Node) -> None:
    """Raise _Refused for a document that is too large once its aliases are expanded."""
    # The number of values below a node, and their depth; None while the node is being measured.
    known: dict[yaml.Node, tuple[int, int] | None] = {}

    def measured(node: yaml.Node, above: int) -> tuple[int, int]:
        line = node.start_mark.line + 1
        if node not in known:
            known[node] = None
            if isinstance(node, yaml.ScalarNode) and len(node.value) > TEXT_MAX:
                raise _Refused(line, f"a text of more than {TEXT_MAX:,} characters; shorten it.")
            if above == DEPTH_MAX:
                raise _Refused(line, "nested too deeply.")
            found = [measured(part, above + 1) for part in _parts(node)]
            depth = max((depth for _, depth in found), default=0)
            known[node] = 1 + sum(count for count, _ in found), 1 + depth
        if not (measure := known[node]):
            raise _Refused(line, "an alias stands for something that contains it.")
        if measure[0] > VALUES_MAX:
            raise _Refused(line, f"more than {VALUES_MAX:,} values, with its aliases; write less.")
        if above + measure[1] > DEPTH_MAX:
            raise _Refused(line, "nested too deeply.")
        return measure

    measured(root, 0)


def _parts(node: yaml.Node) -> Iterator[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        for pair in node.value:
            yield from pair
    elif isinstance(node, yaml.SequenceNode):
        yield from node.value


def _mapping(loader: Any, node: yaml.MappingNode) -> dict[Hashable, Any]:
    lines: dict[Hashable, int] = {}
    for key_node, _ in node.value:
        if key_node.tag == "tag:yaml.org,2002:merge":
            continue
        key, line = loader.construct_object(key_node, deep=True), key_node.start_mark.line + 1
        if not isinstance(key, Hashable):
            raise _Refused(line, "a list is no name of a field.")
        if key in lines:
            raise _Refused(line, f"'{key}' was given in line {lines[key]} already; keep one.")
        lines[key] = line
    loader.flatten_mapping(node)
    return {
        loader.construct_object(key, deep=True): loader.construct_object(value, deep=True)
        for key, value in node.value
    }


def _number(loader: Any, node: yaml.ScalarNode) -> float:
    value: float = loader.construct_yaml_float(node)
    if not math.isfinite(value):
        raise _Refused(node.start_mark.line + 1, f"'{node.value}': give a number that is finite.")
    return value


@functools.cache
def _loader() -> Any:
    # PyYAML's C parser is ten times faster, where there is one.
    class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
        pass

    Loader.add_constructor("tag:yaml.org,2002:map", _mapping)
    Loader.add_constructor("tag:yaml.org,2002:float", _number)
    return Loader


_SCALARS: dict[type[inspect.Type], tuple[type | tuple[type, ...], str]] = {
    inspect.StrType: (str, "text"),
    inspect.IntType: (int, "a whole number"),
    inspect.FloatType: ((int, float), "a number"),
    inspect.BoolType: (bool, "true or false"),
    inspect.NoneType: (type(None), ""),
}


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


def _spelled(place: Place) -> str:
    """Return a place as text, such as "types.pair.members[2]"."""
    words = [f"[{step}]" if isinstance(step, int) else f".{step}" for step in place]
    return "".join(words).removeprefix(".")


def _line(text: bytes, place: Place) -> str:
    """Return the line of a place, or of what contains it, as ":3"."""
    node: yaml.Node | None = yaml.compose(text, Loader=_loader())
    line = ""
    for step in place:
        if isinstance(node, yaml.SequenceNode) and isinstance(step, int):
            node = node.value[step]
            mark = node.start_mark
        elif isinstance(node, yaml.MappingNode):
            pairs = [pair for pair in node.value if pair[0].value == str(step)]
            if not pairs:
                break
            key, node = pairs[0]
            mark = key.start_mark
        else:
            break
        line = f":{mark.line + 1}"
    return line
