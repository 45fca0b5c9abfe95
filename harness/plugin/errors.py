# SPDX-License-Identifier: GPL-2.0-only
"""How a session of pytest shows an error of the harness: in one sentence, without a traceback."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import pytest

from harness.errors import ConfigError, HarnessError


def end_session(error: HarnessError) -> NoReturn:
    """End the session with a usage error: no other test could do better."""
    pytest.exit(str(error), returncode=pytest.ExitCode.USAGE_ERROR)


@contextmanager
def as_usage_error() -> Iterator[None]:
    """Report what the user got wrong in one sentence, before any test runs."""
    try:
        yield
    except HarnessError as error:
        raise pytest.UsageError(str(error)) from error


@contextmanager
def as_failure() -> Iterator[None]:
    """Fail a test of what is no fault of its code, without a traceback."""
    try:
        yield
    except ConfigError as error:
        end_session(error)
    except HarnessError as error:
        pytest.fail(str(error), pytrace=False)
