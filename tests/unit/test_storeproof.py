# SPDX-License-Identifier: GPL-2.0-only
"""The proof of stores, on disassembly as objdump writes it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.errors import BuildError
from harness.host import cache
from harness.kernel.kernel import Engine
from harness.modules import build as modules
from harness.modules.disassembly import calls
from harness.modules.storeproof import expected_stores, prove
from tests.unit.factory import case
from tests.wrong_rules import WRONG_RULES

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


def test_a_store_to_the_handlers_own_copy_is_reported() -> None:
    copied = HANDLER.replace("add	x0, sp, #0x30", "add	x0, sp, #0x28")
    assert prove([NINE], functions(copied)) == {"nine": [8]}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        # The address of another argument.
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
   8:	94000000 	bl	0 <probe_look>
			8: R_AARCH64_CALL26	probe_look
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
        # The word at SP on entry; x1 is lost over the call.
        (("slot:0", 0), None),
    ]


def lines(text: str, start: int = 0x10) -> list[str]:
    """Return instructions as objdump writes them; "bl !f" is a call through a relocation."""
    found = []
    for number, instruction in enumerate(filter(None, map(str.strip, text.split(";")))):
        mnemonic, _, operands = instruction.partition(" ")
        address = f"{start + 4 * number:x}"
        function = operands.removeprefix("!")
        called = operands != function
        found.append(f"  {address}:\td503201f \t{mnemonic}\t{'0 <x>' if called else operands}")
        if called:
            kind = "CALL26" if mnemonic == "bl" else "ADR_PREL_PG_HI21"
            found.append(f"\t\t\t{address}: R_AARCH64_{kind}\t{function}")
    return found


FLIP = "mov x1, #0x8; mov w2, #0xffffffff; bl !probe_flip"


@pytest.mark.parametrize(
    ("text", "x0"),
    [
        # Instructions that are followed: positive controls for those below.
        ("stp x29, x30, [sp, #-48]!; str x3, [sp, #24]; ldr x0, [sp, #24]", ("x3", 0)),
        ("stp x3, x4, [sp, #-16]!; ldp x1, x0, [sp], #16", ("x4", 0)),
        ("stp x3, x4, [sp, #-16]!; ldr x1, [sp], #8; ldr x0, [sp]", ("x4", 0)),
        ("mov x19, x3; bl !probe_look; mov x0, x19", ("x3", 0)),
        ("str x3, [sp, #-16]!; bl !probe_look; ldr x0, [sp]", ("x3", 0)),
        ("str x3, [sp, #-16]!; strb w4, [sp, #8]; ldr x0, [sp]", ("x3", 0)),
        ("str x3, [sp, #-16]!; adrp x4, !values; ldr x0, [sp]", ("x3", 0)),
        ("str x3, [sp, #-16]!; bl !__asan_load8_noabort; ldr x0, [sp]", ("x3", 0)),
        ("sub x1, sp, #0x20; mov x2, #0x8; mov x0, x1; bl !memcpy; ldr x0, [sp]", ("slot:0", 0)),
        ("strb w1, [sp, #-8]; ldr x0, [sp]", ("slot:0", 0)),
        ("ldr x0, [sp, #8]", ("slot:8", 0)),
        # A call within the section, or to where nobody reports, keeps what any call keeps.
        ("mov x0, x3; bl 40", None),
        ("mov x0, x3; blr x9", None),
        ("mov x0, x3; blraa x9, x10", None),
        ("mov x18, x3; bl 40; mov x0, x18", None),
        ("str x3, [sp, #-16]!; bl 40; ldr x0, [sp]", None),
        ("str x3, [sp, #-16]!; bl !some_function; ldr x0, [sp]", None),
        ("bl !some_function; ldr x0, [sp]", None),
        # Memory that a callee writes to has changed.
        ("mov x0, sp; mov x1, #0x8; bl !probe_flip; ldr x0, [sp]", None),
        ("mov x0, #0x8; bl !probe_flip_stack; ldr x0, [sp]", None),
        ("str x3, [sp, #-16]!; mov x0, sp; mov x2, #0x8; bl !memcpy; ldr x0, [sp]", None),
        ("str x3, [sp, #-16]!; mov x0, x9; mov x2, #0x8; bl !memset; ldr x0, [sp]", None),
        # A narrow load does not give the word, nor does a narrow store; the base is written back.
        ("str x3, [sp, #-16]!; ldr w0, [sp]", None),
        ("str x3, [sp, #-16]!; ldrh w0, [sp]", None),
        ("str x3, [sp, #-16]!; ldrsw x0, [sp]", None),
        ("mov x0, x3; ldpsw x1, x0, [sp, #8]", None),
        ("mov x0, x3; ldp w1, w0, [sp, #8]", None),
        ("str x3, [sp, #-16]!; str w4, [sp, #4]; ldr x0, [sp]", None),
        ("str x3, [sp, #-16]!; sturb w4, [sp, #7]; ldr x0, [sp]", None),
        ("str x3, [sp, #-16]!; stur x4, [sp, #-4]; ldr x0, [sp]", None),
        ("str x3, [sp, #-16]!; stp w4, w5, [sp]; ldr x0, [sp]", None),
        ("str x3, [sp, #-16]!; str x3, [sp, #8]; stp w4, w5, [sp]; ldr x0, [sp, #8]", ("x3", 0)),
        ("mov x0, x3; strb w4, [x0], #1", ("x3", 1)),
        ("mov x0, x3; strh w4, [x0, #2]!", ("x3", 2)),
        ("mov x0, x3; ldrb w4, [x0], #1", ("x3", 1)),
        ("mov x0, x3; stp w4, w5, [x0, #8]!", ("x3", 8)),
        # Half of an address, or one that the linker fills in.
        ("mov w0, w3", None),
        ("add w0, w3, #0x8", None),
        ("mov x0, !symbol", None),
        ("mov x0, x3; adrp x0, !symbol", None),
        # Two destination registers, or one that is not the first operand.
        ("mov x0, x3; ldadd x1, x0, [x2]", None),
        ("mov x0, x3; swp x1, x0, [x2]", None),
        ("mov x0, x3; casp x4, x5, x0, x1, [x2]", None),
        ("mov x0, x3; ldxp x1, x0, [x2]", None),
        ("mov x0, x3; ldnp x1, x0, [x2]", None),
        ("mov x0, x3; stxr w0, x1, [x2]", None),
        ("str x3, [sp, #-16]!; stadd x1, [x2]; ldr x0, [sp]", None),
        ("str x3, [sp, #-16]!; str x1, [x9]; ldr x0, [sp]", None),
        ("str x3, [sp, #-16]!; str q0, [sp, #-8]; ldr x0, [sp]", None),
        ("str x1, [x9, x10]; ldr x0, [sp, #8]", None),
        ("mov x0, x3; ldr x0, [x1, x2, lsl #3]", None),
        ("mov x0, x3; ldr x0, 40", None),
        ("mov x0, x3; bfi x0, x4, #0, #8", None),
        ("add x0, sp, #0x1, lsl #12", None),
        ("mov x0, x3; .word 0x12345678", None),
        ("mov x0, x3; svc #0x0", None),
    ],
)
def test_what_is_not_surely_understood_is_unknown(text: str, x0: tuple[str, int] | None) -> None:
    *_, last = calls(lines(f"{text}; {FLIP}"))
    assert last.x0 == x0
    assert (last.x1, last.w2) == (("", 8), ("", 0xFFFFFFFF))
    assert last.certain


@pytest.mark.parametrize(
    ("before", "after", "certain"),
    [
        ("nop", "b.ne 100; ret", True),
        ("b.eq 20", "ret", False),
        ("cbnz x3, 20", "ret", False),
        # The store may run twice, and so undo itself.
        ("nop", "b.ne 10; ret", False),
        ("nop", "tbz w0, #3, 1c; ret", False),
        ("nop", "br x16", False),
    ],
)
def test_a_store_happens_once(before: str, after: str, certain: bool) -> None:
    (call,) = calls(lines(f"{before}; {FLIP}; {after}"))
    assert call.certain is certain


@pytest.mark.parametrize("rule", WRONG_RULES)
def test_a_proof_holds_for_one_placement(rule: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Under another rule the C is the same, but not what was proved of it."""
    kernel: Any = SimpleNamespace(
        key="",
        engine=Engine.PORT,
        variables=(),
        has=lambda option: False,
        kbuild=SimpleNamespace(toolchain=lambda compiler: SimpleNamespace(stamp="")),
    )
    keys: list[str] = []

    def entry(kind: str, key: str, make: Any) -> Path:
        keys.append(key)
        return Path()

    monkeypatch.setattr(cache, "entry", entry)

    def build() -> None:
        pair = "{types: {pair: ['long[2]']}, arguments: [7 x long, pair, 2 x int],"
        modules.build(kernel, [case(f"{pair} handler: {{assign: all}}}}")])

    build()
    build()
    WRONG_RULES[rule](monkeypatch)
    build()
    assert keys[0] == keys[1] != keys[2]


def test_expected_stores() -> None:
    made = case(
        "{types: {big: ['long[3]']}, arguments: [big, 7 x long, big, long], handler: {assign: all}}"
    )
    expected = [store.x0 for store in expected_stores(made)]
    assert expected[0] == ("x0", 0)
    assert expected[1] is None
    assert expected[8] == ("slot:0", 0)
    assert expected[9] == ("sp", 8)
