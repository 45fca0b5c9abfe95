# SPDX-License-Identifier: GPL-2.0-only
"""The proof of stores, on disassembly as objdump writes it."""

from __future__ import annotations

import pytest

from harness.errors import BuildError
from harness.kernel.storeproof import calls, expected_stores, prove
from tests.unit.factory import case

NINE = case("{arguments: [9 x long], handler: {assign: [8]}}", "nine")
HANDLER = """\
  10:	d503233f 	paciasp
  14:	a9bd7bfd 	stp	x29, x30, [sp, #-48]!
  18:	910003fd 	mov	x29, sp
  1c:	94000000 	bl	0 <probe_handler_enter>
			1c: R_AARCH64_CALL26	probe_handler_enter
  20:	9100c3e0 	add	x0, sp, #0x30
  24:	d2800101 	mov	x1, #0x8                   	// #8
  28:	12800002 	mov	w2, #0xffffffff            	// #-1
  2c:	94000000 	bl	0 <probe_flip>
			2c: R_AARCH64_CALL26	probe_flip
"""


def functions(text: str) -> dict[str, list[str]]:
    return {"jpcase_nine_handler": text.splitlines()}


def test_a_store_to_the_argument_area_is_proved() -> None:
    assert prove([NINE], functions(HANDLER)) == {}


def test_a_store_to_the_handlers_own_copy_is_told() -> None:
    copied = HANDLER.replace("add	x0, sp, #0x30", "add	x0, sp, #0x28")
    assert prove([NINE], functions(copied)) == {"nine": [8]}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        # Another argument's place.
        ("add	x0, sp, #0x30", "add	x0, sp, #0x38"),
        ("add	x0, sp, #0x30", "mov	x0, x19"),
        ("mov	x1, #0x8 ", "mov	x1, #0x4 "),
        ("R_AARCH64_CALL26	probe_flip", "R_AARCH64_CALL26	probe_other"),
        # Nothing is inverted.
        ("mov	w2, #0xffffffff  ", "mov	w2, #0x0  "),
        # An instruction that is not followed changes the address.
        ("mov	x1, #0x8 ", "bfi	x0, x3, #0, #8\n  24:	d2800101 	mov	x1, #0x8 "),
        # The store may be jumped over.
        ("mov	x1, #0x8 ", "cbz	x3, 40\n  24:	d2800101 	mov	x1, #0x8 "),
    ],
)
def test_anything_else_is_refused(old: str, new: str) -> None:
    changed = HANDLER.replace(old, new)
    assert changed != HANDLER
    with pytest.raises(BuildError, match="case 'nine'"):
        prove([NINE], functions(changed))


def test_a_dropped_store_is_refused() -> None:
    with pytest.raises(BuildError, match="has 0 stores in the disassembly, 1 were planned"):
        prove([NINE], functions(HANDLER[: HANDLER.index("  20:")]))
    with pytest.raises(BuildError, match="has 0 stores"):
        prove([NINE], {})


def test_values_are_followed_through_the_frame() -> None:
    text = """\
   0:	a9be7bfd 	stp	x29, x30, [sp, #-32]!
   4:	f9000fe3 	str	x3, [sp, #24]
   8:	94000000 	bl	0 <f>
			8: R_AARCH64_CALL26	f
   c:	f9400fe0 	ldr	x0, [sp, #24]
  10:	d2800201 	mov	x1, #0x10                  	// #16
  14:	94000000 	bl	0 <probe_flip>
			14: R_AARCH64_CALL26	probe_flip
  18:	f94013e0 	ldr	x0, [sp, #32]
  1c:	8b2163e1 	add	x1, sp, x1
  20:	94000000 	bl	0 <probe_flip>
			20: R_AARCH64_CALL26	probe_flip
"""
    found = list(calls(text.splitlines()))[1:]
    assert [(call.x0, call.x1) for call in found] == [
        (("x3", 0), ("", 16)),
        # What lies at SP at entry; x1 is lost over the call.
        (("slot:0", 0), None),
    ]


def test_expected_stores() -> None:
    made = case(
        "{types: {big: ['long[3]']}, arguments: [big, 7 x long, big, long], handler: {assign: all}}"
    )
    expected = [store.x0 for store in expected_stores(made)]
    assert expected[0] == ("x0", 0)
    assert expected[1] is None
    assert expected[8] == ("slot:0", 0)
    assert expected[9] == ("sp", 8)
