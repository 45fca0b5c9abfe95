# SPDX-License-Identifier: GPL-2.0-only
"""Write what stands for the rules of the proof of stores: python -m tests.rules"""

from __future__ import annotations

import hashlib
import re

from tests.tower import ROOT

PROOF = ROOT / "harness/modules/storeproof.py"
# Besides the proof itself.
SOURCES = [ROOT / "harness/modules" / name for name in ("disassembly.py", "frame.py", "tracker.py")]
_LINE = re.compile(r'^RULES = "(.*)"$', re.MULTILINE)


def digest(*texts: str) -> str:
    """Return what stands for the rules in the sources, but for the line that has it."""
    return hashlib.sha256("\0".join(_LINE.sub("", text) for text in texts).encode()).hexdigest()[
        :12
    ]


def current() -> str:
    return digest(*(path.read_text() for path in (PROOF, *SOURCES)))


if __name__ == "__main__":
    PROOF.write_text(_LINE.sub(f'RULES = "{current()}"', PROOF.read_text()))
