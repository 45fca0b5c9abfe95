# SPDX-License-Identifier: GPL-2.0-only
"""What holds for all tests."""

from __future__ import annotations

import signal


def pytest_configure() -> None:
    """
    Let programs that tests start have the usual signals.

    They would inherit what nohup(1) or a shell's background job ignores, but no handler.
    """
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, lambda number, frame: None)
