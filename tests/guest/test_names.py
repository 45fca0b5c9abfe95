# SPDX-License-Identifier: GPL-2.0-only
"""C as people write it, under any name, compiled for a kernel and played on it."""

from __future__ import annotations

import pytest

from harness.abi import ctype
from harness.cases.catalog import Catalog
from harness.kernel.kernel import Kernel
from harness.modules import build as modules
from harness.run import repro
from harness.run.plan import plays
from harness.toolchain import compiler
from tests.unit.factory import case

INTEGERS = [name for name, t in ctype.SCALARS.items() if t.kind is ctype.TypeKind.INTEGER]
TEXTS = {
    "storm": "{arguments: [9 x long], handler: {assign: all}, object: {kind: list, writer: cpu}}",
    "nested": "{arguments: [9 x long], handler: {assign: all}, nested: handler}",
    "assembled": "{arguments: [9 x long], handler: {assign: all}, frame_pointer: invalid}",
    # Two spellings that make the same tag.
    "a-b": "{types: {c: [long, char]}, arguments: [8 x long, c], handler: {assign: all}}",
    "a": "{types: {b_c: [char, long]}, arguments: [8 x long, b_c], handler: {assign: all}}",
    # Names from C, from the kernel's macros and from its structs.
    "register": """
        types:
          current: [long, "int current", "u32 linux"]
          linux: ["long linux[3]"]
          list_head: {keyword: union, members: [long, "struct page *"]}
        arguments: [8 x long, current, struct linux, list_head, "union list_head *"]
        handler: {assign: all}
    """,
    "pointers": """
        types: {node: ["struct node *next", "char *"]}
        arguments: [8 x long, "struct file *file", "const struct path *", "char __user *buf",
                    "loff_t *", "void (*)(int)", "int (*fn)(struct file *, char *, ...)",
                    "const char *const *", node, "struct node *", "enum pid_type *", "union page *",
                    "struct current *"]
        handler: {assign: all}
    """,
    "arrays": """
        types:
          grid: ["char[2][6]"]
          big: [u8, "u16 table[3][2][2]", "struct file *files[2]", "void (*ops[2])(int)"]
        arguments: [8 x long, grid, big, long]
        handler: {assign: all}
    """,
    "enums": """
        types:
          color: {keyword: enum, members: [RED, "GREEN = 7", "TRUE"]}
          wide: {keyword: enum, members: ["A = 0x100000000", "B = -1"]}
          most: {keyword: enum, members: ["A = 0xffffffffffffffff"]}
          least: {keyword: enum, members: ["A = -0x8000000000000000"]}
          tiny: {keyword: enum, members: [X], packed: true}
          mixed: [tiny, color, wide, tiny, "color bits:3"]
        arguments: [8 x long, color, enum wide, tiny, mixed, most, least]
        handler: {assign: all}
    """,
    "anonymous": """
        types:
          packet: [u8, {keyword: union, members: [u64, {members: [u32, u16, "char tail[2]"]}]}]
          small: [{keyword: union, members: [u8, u16]}, {members: [u8, u16], packed: true}]
        arguments: [8 x long, packet, small]
        handler: {assign: all}
    """,
    "nine": """
        types:
          plain: [char, short, int, long]
          tight: {members: [char, short, int, long], packed: true}
          wide: {members: [char, short, int, long], aligned: 16}
          both: {members: [char, short, int, long], packed: true, aligned: 16}
        arguments: [plain, 7 x long, plain, tight, wide, long, both, char, wide]
        handler: {assign: all}
    """,
    "flags": """
        types:
          few: [bool, "bool set[2]", int]
          bits: ["bool ready:1", "bool busy:1", "u8 mode:6", bool, "u16 left:9"]
          many: [bool, "bool set[30]"]
        arguments: [few, bits, 6 x long, few, bits, many, bool]
        handler: {assign: all}
    """,
    "variadic": '{arguments: [int, "...", 8 x size_t, "struct file *", "void (*)(int)", u64]}',
    "qualified": """
        types: {big: ["const u64 words[4]"]}
        arguments: [const u8, big, "volatile int x", "register long y", "char *const"]
        forwarded: [1]
        handler: {assign: all}
    """,
}
ALL = [case(text, name) for name, text in TEXTS.items()] + [
    case(
        f"{{arguments: [{', '.join(INTEGERS[start : start + 32])}], handler: {{assign: all}}}}",
        name,
    )
    for name, start in (("names-1", 0), ("names-2", 32), ("names-3", 64))
]


@pytest.mark.parametrize("cc", ["gcc", "clang"])
def test_c_as_people_write_it(cc: str, kernel: Kernel) -> None:
    """Either compiler places and names the arguments as the model says."""
    built = modules.build(kernel, ALL, compiler=compiler.named(cc))
    variants = Catalog().select_variants(["none", "fixed-64"])
    result = repro.run(kernel, built, plays(variants, ALL))
    assert [str(outcome.play) for outcome in result.differing] == []
    assert len(result.outcomes) == 2 * len(ALL)
    labels = {outcome.verdict.label for outcome in result.outcomes if outcome.verdict}
    assert {"intact", "leak", "by-ref"} <= labels
