# SPDX-License-Identifier: GPL-2.0-only
"""Reads YAML files into a schema, or reports in a sentence what is wrong with one."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import msgspec

from harness.errors import ConfigError
from harness.host import given

T = TypeVar("T")
SIZE_MAX = given.MIB


def read(path: Path, schema: type[T]) -> T:
    """Read a YAML file into `schema`; raise ConfigError that names the place."""
    # Slow to import, and often what the files say is known already.
    from harness.host.yamlfile import document

    text = given.read(path, SIZE_MAX)
    loaded = document.load(path, text)
    try:
        return msgspec.convert(loaded, schema)
    except OverflowError as error:
        raise ConfigError(f"{path}: a number is too large: {error}.") from error
    except msgspec.ValidationError as error:
        from harness.host.yamlfile import problem

        found = problem.find(schema, loaded)
        if not found:
            raise ConfigError(f"{path}: {error}.") from error
        place, sentence = found
        where = f"{problem.spelled(place)}: " if place else ""
        raise ConfigError(f"{path}{document.line(text, place)}: {where}{sentence}") from error
