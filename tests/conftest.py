# SPDX-License-Identifier: GPL-2.0-only
"""What holds for all tests."""

from __future__ import annotations

import os
import signal

# The variables by which git names the repository, to its hooks and to what rebase --exec runs.
_REPOSITORY = (
    "GIT_COMMON_DIR", "GIT_DIR", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_WORK_TREE",
)  # fmt: skip


def pytest_configure() -> None:
    """
    Let programs that tests start have the usual signals, and no repository but their own.

    They would inherit what nohup(1) or a shell's background job ignores, but no handler; and
    what a test commits would end in the repository from whose hook the tests are run.
    """
    for name in _REPOSITORY:
        os.environ.pop(name, None)
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, lambda number, frame: None)
