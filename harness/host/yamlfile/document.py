# SPDX-License-Identifier: GPL-2.0-only
"""YAML documents: what they say, and in which line."""

from __future__ import annotations

import functools
import math
from collections.abc import Hashable, Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from harness.errors import ConfigError

# Limits: a text's characters, so that each number is short enough for int(); the
# values of a file, counted again for each alias; and how deeply values are nested.
TEXT_MAX = 4096
VALUES_MAX = 100_000
DEPTH_MAX = 50


def load(path: Path, text: bytes) -> Any:
    """Return what the text of a file says; raise ConfigError that names the line."""
    try:
        return _loaded(text)
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


def line(text: bytes, place: Sequence[str | int]) -> str:
    """Return the line of a place, or of what contains it, as ":3"."""
    node: yaml.Node | None = yaml.compose(text, Loader=_loader())
    found = ""
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
        found = f":{mark.line + 1}"
    return found
