# SPDX-License-Identifier: GPL-2.0-only
"""What is known of a dump before it is read."""

from __future__ import annotations

import subprocess
from pathlib import Path

from harness.kernel.compiler import GCC
from harness.run import crash

SOURCE = """
__attribute__((section(".init.text"))) int begin(void) { return 1; }
int run(void) { return 2; }
int data = 3;
"""


def test_what_a_module_began_with_is_gone(tmp_path: Path) -> None:
    """The kernel frees it, and puts the next module's sections there."""
    module = tmp_path / "module.ko"
    compiler = [GCC.program, "-x", "c", "-", "-c", "-o", str(module)]
    subprocess.run(compiler, input=SOURCE, text=True, check=True)
    places = {".text": 0x1000, ".data": 0x3000, ".init.text": 0x5000, ".symtab": 0x5008}
    assert crash.address_ranges(module, places) == [(0x1000, 0x1008), (0x3000, 0x3004)]
