# SPDX-License-Identifier: GPL-2.0-only
"""What the guest says."""

from __future__ import annotations

from tests.faults.fault import Fault
from tests.faults.replay import replayed

FAULTS = (Fault("a guest that says what one said before", replayed()),)
