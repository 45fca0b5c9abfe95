# SPDX-License-Identifier: GPL-2.0-only
"""Dumps of dead guests: sections, errors and damaged arguments."""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path

import pytest
from elftools.common.exceptions import ELFError

from harness.cases.catalog import Catalog
from harness.errors import ConfigError
from harness.inspect import crash
from harness.toolchain.compiler import GCC

SOURCE = """
__attribute__((section(".init.text"))) int begin(void) { return 1; }
int run(void) { return 2; }
int data = 3;
"""


def test_what_a_module_began_with_is_gone(tmp_path: Path) -> None:
    """The kernel frees .init sections, and may load the next module there."""
    module = tmp_path / "module.ko"
    compiler = [GCC.program, "-x", "c", "-", "-c", "-o", str(module)]
    subprocess.run(compiler, input=SOURCE, text=True, check=True)
    places = {".text": 0x1000, ".data": 0x3000, ".init.text": 0x5000, ".symtab": 0x5008}
    assert crash.address_ranges(module, places) == [(0x1000, 0x1008), (0x3000, 0x3004)]


def test_a_dump_in_which_anything_may_be(tmp_path: Path) -> None:
    for error in (ValueError("no stack"), KeyError("7"), struct.error("short"), ELFError("magic")):
        with (
            pytest.raises(ConfigError, match="does not show what the jprobes were doing"),
            crash._explaining(tmp_path),
        ):
            raise error


def test_an_argument_that_was_passed_where_no_stack_is() -> None:
    made = Catalog().cases["stack-9"]
    passed = made.arguments[8].value
    for stack, found in ((b"", []), (passed[:7], []), (passed, []), (bytes(8), [(8, [(0, 8)])])):
        assert crash.damage(made, crash.Cpu(0, "", stack=stack)) == found
