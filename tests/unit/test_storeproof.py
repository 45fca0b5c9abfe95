# SPDX-License-Identifier: GPL-2.0-only
"""The proof of stores, on assembled snippets."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.errors import BuildError, InfrastructureError
from harness.host import cache
from harness.modules import storeproof
from harness.modules.disassembly import Instruction, functions
from harness.modules.storeproof import PRIVATE_COPIES, expected_stores, proof, prove
from harness.modules.tracker import Call, calls
from tests import rules
from tests.tower import ROOT
from tests.unit.assembled import assemble, write
from tests.unit.factory import case
from tests.wrong_rules import WRONG_RULES

NINE = case("{arguments: [9 x long], handler: {assign: [8]}}", "nine")
HANDLER = """
    paciasp; stp x29, x30, [sp, #-48]!; mov x29, sp; bl probe_handler_enter;
    add x0, sp, #48; mov x1, #8; mov w2, #-1; bl probe_flip;
"""
OWN_COPY = HANDLER.replace("add x0, sp, #48", "add x0, sp, #40")
DROPPED = HANDLER[: HANDLER.index("add x0")]
OTHERS = [
    HANDLER.replace(old, new)
    for old, new in [
        # The address of another argument.
        ("add x0, sp, #48", "add x0, sp, #56"),
        ("add x0, sp, #48", "mov x0, x19"),
        ("mov x1, #8", "mov x1, #4"),
        ("bl probe_flip", "bl probe_other"),
        ("bl probe_flip", "bl probe_flip + 4"),
        # Nothing is inverted.
        ("mov w2, #-1", "mov w2, #0"),
        # An instruction that is not followed changes the address.
        ("mov x1, #8", "bfi x0, x3, #0, #8; mov x1, #8"),
        # The store may be jumped over.
        ("mov x1, #8", "cbz x3, . + 32; mov x1, #8"),
    ]
]
# Behind the address of a store, what does not keep it, and what does.
PAIRS = [
    ("blr x9", "mov x19, x0; blr x9; mov x0, x19"),
    ("bl . + 64", "mov x19, x0; bl . + 64; mov x0, x19"),
    ("bl somewhere", "mov x19, x0; bl somewhere; mov x0, x19"),
    ("strb w4, [x0], #1", "strb w4, [x0], #1; sub x0, x0, #1"),
    ("strh w4, [x0], #2", "strh w4, [x0, #2]"),
    ("ldrb w4, [x0], #1", "ldrb w4, [x0, #1]"),
    ("ldpsw x4, x0, [sp]", "ldpsw x4, x5, [sp]"),
    ("ldxp x4, x0, [sp]", "ldp x4, x5, [sp]"),
    ("ldadd x4, x0, [sp]", "ldr x5, [sp]; add x4, x4, x5; str x4, [sp]"),
    ("swp x4, x0, [sp]", "ldr x5, [sp]; str x4, [sp]"),
    ("casp x4, x5, x0, x1, [sp]", "ldr x4, [sp]; ldr x5, [sp, #8]"),
    ("ldraa x0, [x4, #8]!", "ldr x5, [x4, #8]!"),
    # Registers that are changed, and not named; the hint is chkfeat.
    ("mov x5, x0; ld64b x4, [x8]; mov x0, x5", "mov x5, x0; ldr x4, [x8]; mov x0, x5"),
    ("mov x16, x0; hint #40; mov x0, x16", "mov x16, x0; hint #0; mov x0, x16"),
    ("msr spsel, #0; mov x0, sp", "mrs x4, sp_el0; mov x0, sp"),
    (
        "str x0, [sp, #-16]!; stp w4, w5, [sp]; ldr x0, [sp]",
        "str x0, [sp, #-16]!; stp w4, w5, [sp, #8]; ldr x0, [sp]",
    ),
    (
        "str x0, [sp, #-16]!; strb w4, [sp, #7]; ldr x0, [sp]",
        "str x0, [sp, #-16]!; strb w4, [sp, #8]; ldr x0, [sp]",
    ),
    # What lies below SP is a callee's, and an interrupt's.
    (
        "str x0, [sp, #-16]; bl probe_look; ldr x0, [sp, #-16]",
        "str x0, [sp, #-16]!; bl probe_look; ldr x0, [sp]",
    ),
    (
        "str x0, [sp, #-16]; sub sp, sp, #16; ldr x0, [sp]",
        "sub sp, sp, #16; str x0, [sp]; ldr x0, [sp]",
    ),
]
SETTING = "mov x0, sp; {}; mov x1, #8; mov w2, #-1; bl probe_flip"
FRAME = """
    stp x29, x30, [sp, #-32]!; str x3, [sp, #24]; bl probe_look; ldr x0, [sp, #24];
    mov x1, #16; bl probe_flip; ldr x0, [sp, #32]; add x1, sp, x1; bl probe_flip
"""
FLIP = "mov x1, #8; mov w2, #-1; bl probe_flip"
FOLLOWED = {
    # Instructions that are followed: positive controls for those below.
    "stp x29, x30, [sp, #-48]!; str x3, [sp, #24]; ldr x0, [sp, #24]": ("x3", 0),
    "stp x3, x4, [sp, #-16]!; ldp x1, x0, [sp], #16": ("x4", 0),
    "stp x3, x4, [sp, #-16]!; ldr x1, [sp], #8; ldr x0, [sp]": ("x4", 0),
    "mov x19, x3; bl probe_look; mov x0, x19": ("x3", 0),
    "str x3, [sp, #-16]!; bl probe_look; ldr x0, [sp]": ("x3", 0),
    "str x3, [sp, #-16]!; strb w4, [sp, #8]; ldr x0, [sp]": ("x3", 0),
    "str x3, [sp, #-16]!; adrp x4, values; ldr x0, [sp]": ("x3", 0),
    "str x3, [sp, #-16]!; bl __asan_load8_noabort; ldr x0, [sp]": ("x3", 0),
    "sub x1, sp, #32; mov x2, #8; mov x0, x1; bl memcpy; ldr x0, [sp]": ("slot:0", 0),
    "strb w1, [sp, #-8]; ldr x0, [sp]": ("slot:0", 0),
    "ldr x0, [sp, #8]": ("slot:8", 0),
    # A call within the section, or to where nobody reports, keeps what any call keeps.
    "mov x0, x3; bl . + 64": None,
    "mov x0, x3; blr x9": None,
    "mov x0, x3; blraa x9, x10": None,
    "mov x18, x3; bl . + 64; mov x0, x18": None,
    "str x3, [sp, #-16]!; bl . + 64; ldr x0, [sp]": None,
    "str x3, [sp, #-16]!; bl some_function; ldr x0, [sp]": None,
    "bl some_function; ldr x0, [sp]": None,
    # Memory that a callee writes to has changed.
    "mov x0, sp; mov x1, #8; bl probe_flip; ldr x0, [sp]": None,
    "mov x0, #8; bl probe_flip_stack; ldr x0, [sp]": None,
    "str x3, [sp, #-16]!; mov x0, sp; mov x2, #8; bl memcpy; ldr x0, [sp]": None,
    "str x3, [sp, #-16]!; mov x0, x9; mov x2, #8; bl memset; ldr x0, [sp]": None,
    "str x3, [sp, #-16]!; sub x0, sp, #64; mov x2, #-1; bl memset; ldr x0, [sp]": None,
    # So may what lies below SP, at any time.
    "str x3, [sp, #-16]; bl probe_look; ldr x0, [sp, #-16]": None,
    "stp x3, x4, [sp, #-16]!; add sp, sp, #16; sub sp, sp, #16; ldr x0, [sp]": None,
    "add sp, sp, #16; sub sp, sp, #16; ldr x0, [sp]": None,
    # A narrow load does not give the word, nor does a narrow store; the base is written back.
    "str x3, [sp, #-16]!; ldr w0, [sp]": None,
    "str x3, [sp, #-16]!; ldrh w0, [sp]": None,
    "str x3, [sp, #-16]!; ldrsw x0, [sp]": None,
    "mov x0, x3; ldpsw x1, x0, [sp, #8]": None,
    "mov x0, x3; ldp w1, w0, [sp, #8]": None,
    "str x3, [sp, #-16]!; str w4, [sp, #4]; ldr x0, [sp]": None,
    "str x3, [sp, #-16]!; sturb w4, [sp, #7]; ldr x0, [sp]": None,
    "str x3, [sp, #-16]!; stur x4, [sp, #-4]; ldr x0, [sp]": None,
    "str x3, [sp, #-16]!; stp w4, w5, [sp]; ldr x0, [sp]": None,
    "str x3, [sp, #-16]!; str x3, [sp, #8]; stp w4, w5, [sp]; ldr x0, [sp, #8]": ("x3", 0),
    "mov x0, x3; strb w4, [x0], #1": ("x3", 1),
    "mov x0, x3; strh w4, [x0, #2]!": ("x3", 2),
    "mov x0, x3; ldrb w4, [x0], #1": ("x3", 1),
    "mov x0, x3; stp w4, w5, [x0, #8]!": ("x3", 8),
    # Half of an address, or one that the linker fills in.
    "mov w0, w3": None,
    "add w0, w3, #8": None,
    "mov x0, x3; movk x0, #8, lsl #16": None,
    "movz x0, #:abs_g0:symbol": None,
    "mov x0, x3; adrp x0, symbol": None,
    "mov x0, x3; add x0, x0, :lo12:symbol": None,
    "str x3, [sp, #-16]!; ldr x0, [sp, :lo12:symbol]": None,
    "str x3, [sp, #-16]!; str x4, [sp, :lo12:symbol]; ldr x0, [sp]": None,
    "str x3, [sp, #-16]!; str x1, [x9]; ldr x0, [sp]": None,
    "str x1, [x9, x10]; ldr x0, [sp, #8]": None,
    "mov x0, x3; ldr x0, [x1, x2, lsl #3]": None,
    "mov x0, x3; ldr x0, . + 64": None,
    "mov x0, x3; bfi x0, x4, #0, #8": None,
    "add x0, sp, #1, lsl #12": None,
}
# After these nothing is known, and they may be branches.
UNFOLLOWED = [
    # Two destination registers, or one that is not the first operand.
    "ldadd x1, x0, [x2]",
    "swp x1, x0, [x2]",
    "casp x4, x5, x0, x1, [x2]",
    "ldxp x1, x0, [x2]",
    "ldnp x1, x0, [x2]",
    "ldraa x0, [x1, #8]!",
    "stxr w0, x1, [x2]",
    "stadd x1, [x2]",
    # More than they name.
    "ld64b x0, [x8]",
    "autia1716",
    "hint #40",
    "msr spsel, #0",
    "str q0, [sp, #-8]",
    "mov v0.d[0], x1",
    ".word 0xffffffff",
    "svc #0",
    "brk #1",
    "braa x1, x2",
]
# Around a store, and whether it happens exactly once.
ONCE = {
    ("nop", "b.ne . + 64; ret"): True,
    ("nop", "retaa"): True,
    ("nop", "bl somewhere; blr x9"): True,
    ("b.eq . + 8", "ret"): False,
    ("cbnz x3, . + 8", "ret"): False,
    ("b somewhere", "ret"): False,
    ("ret", "ret"): False,
    # The store may run twice, and so undo itself.
    ("nop", "b.ne . - 16; ret"): False,
    ("nop", "tbz w0, #3, . - 4; ret"): False,
    ("nop", "b.ne somewhere"): False,
    ("nop", "br x16"): False,
}


def around(before: str, after: str) -> str:
    return f"{before}; {FLIP}; {after}"


@pytest.fixture(scope="module")
def code(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Instruction]]:
    """Return the instructions of each snippet, all assembled by one process."""
    texts = [HANDLER, OWN_COPY, DROPPED, *OTHERS, FRAME]
    texts += [SETTING.format(text) for pair in PAIRS for text in pair]
    texts += [f"{text}; {FLIP}" for text in [*FOLLOWED, *UNFOLLOWED]]
    texts += [around(*both) for both in ONCE]
    return assemble(texts, tmp_path_factory.mktemp("code"))


Code = dict[str, list[Instruction]]


def handler(instructions: Sequence[Instruction]) -> dict[str, list[Call]]:
    return {"jpcase_nine_handler": list(calls(instructions))}


def test_a_store_to_the_argument_area_is_proved(code: Code) -> None:
    assert prove([NINE], handler(code[HANDLER])) == {}


def test_a_store_to_the_handlers_own_copy_is_reported(code: Code) -> None:
    assert prove([NINE], handler(code[OWN_COPY])) == {"nine": [8]}


@pytest.mark.parametrize("text", OTHERS)
def test_anything_else_is_refused(code: Code, text: str) -> None:
    assert text != HANDLER
    with pytest.raises(BuildError, match="case 'nine'"):
        prove([NINE], handler(code[text]))


@pytest.mark.parametrize(("refused", "accepted"), PAIRS)
def test_what_does_not_keep_the_address_is_refused(code: Code, refused: str, accepted: str) -> None:
    assert prove([NINE], handler(code[SETTING.format(accepted)])) == {}
    with pytest.raises(BuildError, match="case 'nine'"):
        prove([NINE], handler(code[SETTING.format(refused)]))


def test_a_dropped_store_is_refused(code: Code) -> None:
    with pytest.raises(BuildError, match="has 0 stores in the disassembly, 1 were planned"):
        prove([NINE], handler(code[DROPPED]))
    with pytest.raises(BuildError, match="has 0 stores"):
        prove([NINE], {})


def test_values_are_followed_through_the_frame(code: Code) -> None:
    found = list(calls(code[FRAME]))[1:]
    assert [(call.x0, call.x1) for call in found] == [
        (("x3", 0), ("", 16)),
        # The word at SP on entry; x1 is lost over the call.
        (("slot:0", 0), None),
    ]


@pytest.mark.parametrize("text", [*FOLLOWED, *UNFOLLOWED])
def test_what_is_not_surely_understood_is_unknown(code: Code, text: str) -> None:
    *_, last = calls(code[f"{text}; {FLIP}"])
    assert last.x0 == FOLLOWED.get(text)
    assert (last.x1, last.w2) == (("", 8), ("", 0xFFFFFFFF))
    assert last.certain is (text in FOLLOWED)


@pytest.mark.parametrize(("before", "after"), ONCE)
def test_a_store_happens_once(code: Code, before: str, after: str) -> None:
    (call,) = [call for call in calls(code[around(before, after)]) if call.function == "probe_flip"]
    assert call.certain is ONCE[before, after]


def test_what_is_no_object_file(tmp_path: Path) -> None:
    (tmp_path / "cases.o").write_bytes(b"BC\xc0\xde")
    with pytest.raises(InfrastructureError, match=r"cases\.o, just compiled, is no object file"):
        functions(tmp_path / "cases.o", ["f"])


@pytest.fixture
def cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an object file with one handler, for a cache without proofs."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return write({"jpcase_nine_handler": OWN_COPY}, tmp_path)


def test_a_proof_is_made_once(cached: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = proof([NINE], cached)
    assert json.loads((made / PRIVATE_COPIES).read_text()) == {"nine": [8]}
    monkeypatch.setattr(storeproof, "prove", None)
    assert proof([NINE], cached) == made


def test_a_run_that_finds_its_proof_loads_no_disassembler() -> None:
    loaded = "import sys, harness.run.job; sys.exit('capstone' in sys.modules)"
    subprocess.run([sys.executable, "-c", loaded], cwd=ROOT, check=True)


def test_a_refused_proof_is_not_kept(cached: Path) -> None:
    eight = replace(NINE, handler=replace(NINE.handler, assign=(7, 8)))
    for _ in range(2):
        with pytest.raises(BuildError, match="has 1 stores in the disassembly, 2 were planned"):
            proof([eight], cached)


def test_a_proof_holds_for_what_was_proved(cached: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another object file, and other rules, have a proof of their own."""
    made = [proof([NINE], cached)]
    write({"jpcase_nine_handler": HANDLER}, cached.parent)
    made.append(proof([NINE], cached))
    monkeypatch.setattr(storeproof, "RULES", "")
    made.append(proof([NINE], cached))
    assert len(set(made)) == len(made)


def test_the_rules_of_a_proof_are_those_of_the_sources() -> None:
    assert rules.current() == storeproof.RULES, "run: python -m tests.rules"
    assert rules.digest('a\nRULES = "b"') == rules.digest('a\nRULES = "c"') != rules.digest("b")


@pytest.mark.parametrize("rule", WRONG_RULES)
def test_a_proof_holds_for_one_placement(
    rule: str, cached: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under another rule the object file may be the same, but not what was proved of it."""
    keys: list[str] = []

    def entry(kind: str, key: str, make: Any) -> Path:
        keys.append(key)
        return cached

    def prove_again() -> None:
        pair = "{types: {pair: ['long[2]']}, arguments: [7 x long, pair, 2 x int],"
        proof([case(f"{pair} handler: {{assign: all}}}}")], cached)

    monkeypatch.setattr(cache, "entry", entry)
    prove_again()
    prove_again()
    WRONG_RULES[rule](monkeypatch)
    prove_again()
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
