# SPDX-License-Identifier: GPL-2.0-only
"""What the tracker says that instructions do is what they do in an emulator."""

from __future__ import annotations

import contextlib
import functools
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import pytest
from capstone import arm64_const as arm64
from elftools.elf.elffile import ELFFile
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from harness.modules import frame as frames
from harness.modules import tracker
from harness.modules.disassembly import SIZE, Instruction, Memory, decode
from harness.modules.frame import Frame
from tests.unit import assembled
from tests.unit.emulated import Unmapped, disagreements, followed

# Mnemonics by the operands that they take: a destination, sources, and bases of memory.
FORMS = {
    "{d}, {s}, {t}": """
        add adds sub subs adc adcs sbc sbcs and ands bic bics orr orn eor eon
        lsl lsr asr ror mul mneg sdiv udiv
    """,
    "{d}, {s}, {t}, lsl #3": "add adds sub subs and ands bic orr orn eor eon",
    "{d}, {s}, #24": "add adds sub subs and orr eor lsl lsr asr ror",
    "{d}, {s}, #1, lsl #12": "add sub",
    "{d}, {s}": "mov mvn neg negs ngc ngcs clz cls rbit rev rev16",
    "{d}, {s}, {t}, {u}": "madd msub",
    "{d}, {s}, {t}, ne": "csel csinc csinv csneg",
    "{d}, {s}, lt": "cinc cinv cneg",
    "{d}, hi": "cset csetm",
    "{d}, {s}, #3, #5": "bfi bfxil ubfx ubfiz sbfx sbfiz",
    "{d}, #3, #5": "bfc",
    "{d}, {s}, {t}, #7": "extr",
    "{d}, #0x1234": "mov movk",
    "{d}, #-3": "mov",
    "{d}, #0xff00": "mov",
    "{d}, #5, lsl #16": "movz movn movk",
    "{s}, {t}": "cmp cmn tst",
    "{s}, #5": "cmp cmn",
    "{s}, #5, #0, ge": "ccmp ccmn",
    "{wd}, {ws}": "uxtb uxth sxtb sxth",
    "{xd}, {ws}": "sxtb sxth sxtw",
    "{xd}, {ws}, {wt}": "smull umull smnegl umnegl",
    "{xd}, {ws}, {wt}, {xu}": "smaddl umaddl smsubl umsubl",
    "{xd}, {xs}, {xt}": "smulh umulh",
    "{xd}, {xs}, {wt}, uxtw #2": "add sub",
    "{xd}, {xs}": "rev32",
    "{xd}": "xpaci xpacd",
    "{xd}, .": "adr adrp",
    "{xd}, sp_el0": "mrs",
    "{xd}, sp": "mov",
    "{wd}, wsp": "mov",
    "sp, {xs}": "mov",
    "{xd}, sp, #48": "add sub",
    "{xd}, sp, {xs}": "add sub",
    "sp, sp, #16": "add sub",
    "sp, sp, {xs}": "add sub",
    "x29, sp, #16": "add sub",
    "x29, sp": "mov",
    "sp, x29": "mov",
    "": """
        nop csdb yield isb sb bti paciasp pacibsp paciaz pacibz autiasp autibsp autiaz autibz
        xpaclri ret retaa retab
    """,
    "c": "bti",
    "sy": "dmb dsb",
    "pldl1keep, [{b}]": "prfm prfum",
    "{d}, [{b}]": "ldr str ldur stur",
    "{d}, [{b}, #8]": "ldr str",
    "{d}, [{b}, #-12]": "ldur stur",
    "{d}, [{b}, {xs}]": "ldr str",
    "{d}, [{b}, #-16]!": "ldr str",
    "{d}, [{b}], #8": "ldr str",
    "{d}, {e}, [{b}]": "ldp stp",
    "{d}, {e}, [{b}, #-16]!": "ldp stp",
    "{d}, {e}, [{b}], #16": "ldp stp",
    "{wd}, [{b}, #2]": "ldrb ldrh ldrsb ldrsh strb strh ldurb ldurh ldursb ldursh sturb sturh",
    "{wd}, [{b}, #-2]!": "ldrb ldrh ldrsb ldrsh strb strh",
    "{wd}, [{b}], #2": "ldrb ldrh ldrsb ldrsh strb strh",
    "{xd}, [{b}]": "ldrsb ldrsh ldrsw ldursw",
    "{xd}, [{b}], #4": "ldrsb ldrsh ldrsw",
    "{xd}, {xe}, [{b}, #8]": "ldpsw",
    "{xd}, {xe}, [{b}], #8": "ldpsw",
    "{xd}, . + 8": "ldr ldrsw",
    ". + 4": "b b.eq",
    "{s}, . + 4": "cbz cbnz",
    "{s}, #3, . + 4": "tbz tbnz",
    "x20": "blr blraaz blrabz",
    "x20, {xs}": "blraa blrab",
    ". + 0x10000": "bl",
}
# Instructions that depend on their own address, or have to be the last ones.
ALONE = {"b", "b.eq", "cbz", "cbnz", "tbz", "tbnz", "ret", "retaa", "retab", "bl"}
NUMBERS = (*range(8), 9, 19, 29, 30)
SEEDS = 5


def forms() -> Iterator[str]:
    """Yield instructions of each form, with some registers each."""
    random = Random(1)
    for operands, mnemonics in FORMS.items():
        for mnemonic in mnemonics.split():
            for width in "xw" if "{d}" in operands or "{s}" in operands else "x":
                numbers = random.sample(NUMBERS, 6)
                names = {role: f"{width}{number}" for role, number in zip("destu", numbers)}
                names |= {f"x{role}": f"x{number}" for role, number in zip("destu", numbers)}
                names |= {f"w{role}": f"w{number}" for role, number in zip("destu", numbers)}
                base = random.choice(["sp", f"x{numbers[5]}"])
                yield f"{mnemonic} {operands.format(**names, b=base)}"


@functools.cache
def words(texts: Sequence[str] = ()) -> dict[str, bytes]:
    """Return the code of instructions, by default of each form."""
    texts = texts or list(dict.fromkeys(forms()))
    with tempfile.TemporaryDirectory() as folder:
        path = assembled.write({"all": "; ".join(texts)}, Path(folder))
        with path.open("rb") as file:
            section = ELFFile(file).get_section_by_name(".text")
            assert section
            code = section.data()
    assert len(code) == SIZE * len(texts)
    return {text: code[SIZE * index :][:SIZE] for index, text in enumerate(texts)}


def wrong_in(code: bytes, seeds: range) -> list[str]:
    """Return what is found wrong under several states, in some of which all memory is there."""
    wrong, ran = [], 0
    for seed in seeds:
        try:
            wrong += disagreements(code, seed)
            ran += 1
        except Unmapped:
            continue
    assert ran, "uses memory that is not there"
    return wrong


def test_each_allowed_instruction_acts_as_its_rule_says() -> None:
    assert {
        text: wrong for text, code in words().items() if (wrong := wrong_in(code, range(SEEDS)))
    } == {}


def test_each_allowed_instruction_has_a_form() -> None:
    ids = {decode(code)[0].id for code in words().values()}
    assert ids == tracker.ALLOWED.keys() | tracker._CALLS.keys()


def agree(among: str = "", *phases: Phase, examples: int = 300) -> Callable[[], None]:
    """
    Return a check that random sequences run in the emulator as the tracker follows them.

    They have the instructions of these mnemonics, by default of all.
    """
    mnemonics = {text.split()[0] for text in words()} - ALONE
    chosen = set(among.split()) or mnemonics
    steps = [text for text in words() if text.split()[0] in chosen]

    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        phases=phases or tuple(Phase),
        report_multiple_bugs=False,
    )
    @given(st.lists(st.sampled_from(steps), min_size=1, max_size=10), st.integers(0, 1 << 20))
    def check(texts: list[str], seed: int) -> None:
        # Where memory is used that is not there, there is nothing to compare.
        with contextlib.suppress(Unmapped):
            assert disagreements(b"".join(words()[text] for text in texts), seed) == []

    return check


def test_sequences_of_allowed_instructions_act_as_they_are_followed() -> None:
    agree()()


def _first_only(frame: Frame, instruction: Instruction) -> None:
    first, *_, memory = instruction.operands
    tracker._load(frame, replace(instruction, operands=(first, memory)), whole=False)


def _unmoved(frame: Frame, instruction: Instruction) -> None:
    *registers, memory = instruction.operands
    assert isinstance(memory, Memory)
    moveless = (*registers, replace(memory, moved=0))
    tracker._store(frame, replace(instruction, operands=moveless), size=1)


_RULES = tracker.ALLOWED
# What a tracker would get wrong: where, in which instructions, and with what in place of what.
WRONG: dict[str, tuple[str, Any, str | int, Any]] = {
    "loads one register": ("ldpsw", _RULES, arm64.ARM64_INS_LDPSW, _first_only),
    "moves no base": ("strb", _RULES, arm64.ARM64_INS_STRB, _unmoved),
    "writes one byte": ("strh", _RULES, arm64.ARM64_INS_STRH, partial(tracker._store, size=1)),
    "sets all of a register": ("movk", _RULES, arm64.ARM64_INS_MOVK, tracker._move),
    "adds": ("sub", _RULES, arm64.ARM64_INS_SUB, tracker._add),
    "keeps x0 to x18": ("blr", Frame, "clobber", lambda frame: None),
    "keeps memory": ("blr", Frame, "forget_memory", lambda frame: None),
    "keeps an address in half a register": ("mov", frames, "_part", lambda value, _: value),
    "keeps what is below SP": ("str", Frame, "_floor", lambda frame: -(1 << 20)),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_rule_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    mnemonic, where, what, wrong = WRONG[name]
    if isinstance(what, str):
        monkeypatch.setattr(where, what, wrong)
    else:
        monkeypatch.setitem(where, what, wrong)
    with pytest.raises(AssertionError):
        agree(mnemonic, Phase.generate)()


# Capstone's own lists of what an instruction writes lack registers or memory of each.
UNFOLLOWED = [
    "ldadd x1, x0, [sp]",
    "swp x1, x0, [sp]",
    "cas x0, x1, [sp]",
    "casp x4, x5, x0, x1, [sp]",
    "stadd x1, [sp]",
    "ldraa x0, [sp, #8]!",
    "stlr x1, [sp]",
]


def test_an_instruction_that_is_not_allowed_may_do_anything(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for text, code in words(tuple(UNFOLLOWED)).items():
        assert followed(code) == Frame({}, {}, False)
        with monkeypatch.context() as patched:
            patched.setitem(tracker.ALLOWED, decode(code)[0].id, tracker._quiet)
            assert wrong_in(code, range(SEEDS)), text
