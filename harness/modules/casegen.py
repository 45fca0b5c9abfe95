# SPDX-License-Identifier: GPL-2.0-only
"""Generates kernel-modules/probe-targets/cases.c from the cases."""

from __future__ import annotations

import re
from collections.abc import Sequence

from harness.abi.ctype import VA_LIST
from harness.abi.descriptor import Base, descriptor
from harness.model.case import Agent, Case, Frame, ObjectKind, Real
from harness.model.context import Context
from harness.modules.casefunctions import (
    apart,
    box,
    function,
    listed,
    look,
    looks,
    octets,
    parameters,
    symbol,
    target_prototype,
    types,
)
from harness.modules.typedefs import declare

# The caller of a va_list case is itself variadic, and is called with this many words.
VA_LIST_WORDS = 12

_HEAD = """\
// SPDX-License-Identifier: GPL-2.0
/* Generated from configs/cases; harness/modules/casegen.py wrote it. */
#include <linux/completion.h>
#include <linux/kernel.h>
#include <linux/list.h>
#include <linux/string.h>
#include <linux/types.h>

#include "probe_targets.h"
"""

# Calls the function that the pointer has, with an invalid frame pointer; see calls.S.
INVALID_FP, INVALID_FP_TARGET = "probe_invalid_fp_entry", "probe_invalid_fp_target"

# How many characters a handler logs.
LINE_SIZE = 128

# Comments that begin the C of each case, and the table of all cases.
_MARK, _TABLE = "/* case {} */", "/* all cases */"
_MARKS = r"^/\* (?:case ([\w-]+)|all cases) \*/$"


def _target(case: Case) -> str:
    body = looks(case, "LOOK_SEEN")
    # Behind the declaration that may be there.
    body.insert(2 if case.variadic else 0, "probe_target_enter();")
    # For BPF programs that change it (fmod_ret).
    body.append("return 0;")
    return function(f"__probed int {symbol(case, 'target')}", parameters(case), body)


def agent(who: Agent) -> str:
    """Return an agent's name in kernel-modules/probe-targets/probe_targets.h."""
    return f"PROBE_BY_{who.name}"


def handler_stores(case: Case) -> list[str]:
    """Return, in order, the statements with which a handler writes or has others write."""
    handler = case.handler
    stores = [
        f"probe_flip({octets(case, index)}, {case.arguments[index].flip_mask:#04x});"
        for index in handler.assign
    ]
    if handler.overwrite:
        stores.append(f"probe_flip_stack({handler.overwrite});")
    if handler.consume:
        address, _, _ = octets(case, handler.consume.argument).partition(",")
        stores.append(f"probe_consume({address}, {handler.consume.words});")
    if case.object and case.object.writer:
        stores.append(f"probe_object_write({agent(case.object.writer)});")
    if case.nested:
        stores.append(f"probe_call_nested({agent(case.nested)});")
    return stores


def _handler(case: Case) -> str:
    by_reference = [
        index for index, placement in enumerate(case.layout.placements) if placement.by_reference
    ]
    body = ["probe_handler_enter();"]
    body += [look(case, "LOOK_BEFORE", index) for index in by_reference]
    if case.handler.dive:
        body.append(f"probe_dive({case.handler.dive});")
    if log := case.handler.log:
        body = [f"char line[{LINE_SIZE}];", "", *body]
        body.append(f"vsnprintf(line, sizeof(line), a{log.format}, a{log.argument});")
    body += handler_stores(case)
    body += [look(case, "LOOK_AFTER", index) for index in by_reference]
    if case.object:
        body.append("probe_object_look(LOOK_AFTER);")
    body += ["probe_handler_leave();", "jprobe_return();"]
    return function(f"static __probed void {symbol(case, 'handler')}", parameters(case), body)


def _values(case: Case) -> str:
    rows = []
    values = [argument.value for argument in case.arguments]
    if case.object and case.object.kind is ObjectKind.BYTES and case.object.argument is None:
        values.append(case.object.before(0))
    for value in values:
        octets = "".join(f"{octet:#04x}, " for octet in value)
        if octets:
            rows.append(f"\t{octets.rstrip()}\n")
    return f"static const u8 {symbol(case, 'values')}[] = {{\n{''.join(rows)}}};\n"


def _object(case: Case) -> tuple[str, list[str]]:
    """Return the declaration of the caller's object, and the statements that initialise it."""
    assert case.object
    size = case.object.size
    if case.object.argument is not None:
        return "", [f"probe_object(PROBE_BYTES, &a{case.object.argument}, {size});"]
    offset = sum(len(argument.value) for argument in case.arguments)
    values = symbol(case, "values")
    place = "&object"
    match case.object.kind:
        case ObjectKind.BYTES:
            declaration = f"u8 object[{size}];"
            start = f"memcpy(object, {values} + {offset}, {size});"
            place = "object"
        case ObjectKind.COUNTER:
            declaration = "u64 object;"
            start = f"object = {int.from_bytes(case.object.before(0), 'little'):#x}UL;"
        case ObjectKind.COMPLETION:
            declaration = "struct completion object;"
            start = "init_completion(&object);"
            place = "&object.done"
        case ObjectKind.LIST:
            declaration = "struct list_head object;"
            start = "INIT_LIST_HEAD(&object);"
    return declaration, [start, f"probe_object(PROBE_{case.object.kind.name}, {place}, {size});"]


def _locals(case: Case, indices: Sequence[int], with_object: bool) -> list[str]:
    """Return the lines that declare variables and then give them their values."""
    offsets = []
    offset = 0
    for argument in case.arguments:
        offsets.append(offset)
        offset += len(argument.value)
    values = symbol(case, "values")
    lines = [f"{declare(case.arguments[i].type, f'a{i}')};" for i in indices]
    settings = [f"memcpy(&a{i}, {values} + {offsets[i]}, sizeof(a{i}));" for i in indices]
    if with_object:
        declaration, start = _object(case)
        lines += [declaration] if declaration else []
        settings += start
    return [*lines, "", *settings] if lines else []


def _aliases(case: Case) -> tuple[str, str]:
    """Return the name by which the caller calls the function, and that name's declaration."""
    target = symbol(case, "target")
    if case.valid_fp and not case.forwarded:
        return target, ""
    name = symbol(case, "entry")
    taken = listed(parameters(case, forwarded_as_pointers=True))
    label = target if case.valid_fp else INVALID_FP
    return name, f'extern int {name}({taken}) asm("{label}");\n'


def _call(case: Case) -> str:
    """Return the function that calls the probed one, and its own caller where there is one."""
    entry, declaration = _aliases(case)
    va_lists = [i for i, a in enumerate(case.arguments) if a.type == VA_LIST]
    outer_object = bool(case.object and case.object.frame is Frame.OUTER)
    inner = [i for i in range(len(case.arguments)) if i not in (*case.forwarded, *va_lists)]
    body = _locals(case, inner, bool(case.object) and not outer_object)
    if va_lists:
        declared = [f"va_list a{index};" for index in va_lists]
        body = [*declared, *body] if inner else [*declared, "", *body]
        body += [f"va_start(a{index}, count);" for index in va_lists]
    arguments = ", ".join(
        f"({box(case, index)}){{ &a{index} }}" if argument.boxed else f"a{index}"
        for index, argument in enumerate(case.arguments)
    )
    if not case.valid_fp:
        body.append(f"{INVALID_FP_TARGET} = {symbol(case, 'target')};")
    body.append(f"{entry}({arguments});")
    body += [f"va_end(a{index});" for index in va_lists]
    if case.object and not outer_object:
        body.append("probe_object_look(LOOK_SEEN);")

    two_frames = va_lists or case.forwarded or outer_object
    if not two_frames:
        return declaration + function(f"static __probed void {symbol(case, 'call')}", [], body)
    taken = [f"void *a{index}" for index in case.forwarded]
    passed = [f"&a{index}" for index in case.forwarded]
    if va_lists:
        taken += ["int count", "..."]
        passed.append(str(VA_LIST_WORDS))
        passed += [f"{0x1111 * (word + 1):#x}L" for word in range(VA_LIST_WORDS)]
    outer = _locals(case, case.forwarded, outer_object)
    outer.append(f"{symbol(case, 'inner')}({', '.join(passed)});")
    if outer_object:
        outer.append("probe_object_look(LOOK_SEEN);")
    return (
        declaration
        + function(f"static __probed void {symbol(case, 'inner')}", taken, body)
        + "\n"
        + function(f"static __probed void {symbol(case, 'call')}", [], outer)
    )


def case_source(case: Case) -> str:
    """Return the C of one case."""
    case = apart(case)
    parts = [
        _MARK.format(case.name),
        *types(case),
        *([] if case.real else [_values(case), _declared_target(case)]),
        _handler(case),
        _real(case, case.real) if case.real else _call(case),
        _signature(case),
    ]
    return "\n".join(parts)


def _declared_target(case: Case) -> str:
    declared = f"{target_prototype(case)};\n__probed int"
    return _target(case).replace("__probed int", declared, 1)


def _real(case: Case, real: Real) -> str:
    """Return what says how a function of the kernel's own is reached."""
    placements = enumerate(case.layout.placements)
    words = "".join(f"{index}, " for index, placement in placements if placement.by_reference)
    references = symbol(case, "references")
    return (
        f"static const u8 {references}[] = {{ {words or '0 '}}};\n\n"
        f"static const struct probe_real {symbol(case, 'real')} = {{\n"
        f'\t.action = "{real.action}",\n'
        f"\t.call = {real.call},\n"
        f"\t.references = {references},\n}};\n"
    )


# A base's name in kernel-modules/stack-policy/stack_policy.h.
_BASES = {base: f"STACK_PART_{base.name}" for base in Base}


def _signature(case: Case) -> str:
    parts = descriptor(case.types[: case.named])
    rows = "".join(f"\t{{ {_BASES[part.base]}, {part.number}, {part.size} }},\n" for part in parts)
    return f"static const struct stack_part {symbol(case, 'signature')}[] = {{\n{rows}\t{{}}\n}};\n"


def _entry(case: Case) -> str:
    if case.real:
        called = (
            f"\t\t.real = &{symbol(case, 'real')},\n"
            f'\t\t.jp.symbol = "{case.real.function}",\n'
            "\t\t.jp.wanted = probe_real_wanted,\n"
            "\t\t.jp.seen = probe_real_seen,\n"
        )
    else:
        called = f"\t\t.call = {symbol(case, 'call')},\n\t\t.jp.addr = {symbol(case, 'target')},\n"
    return (
        "\t{\n"
        f'\t\t.name = "{case.name}",\n'
        f"{called}"
        f"\t\t.jp.entry = {symbol(case, 'handler')},\n"
        f"\t\t.jp.signature = {symbol(case, 'signature')},\n"
        f"\t\t.area = {case.layout.stack_size},\n"
        f"\t\t.context = PROBE_{case.context.name},\n"
        f"\t\t.nested = {'true' if case.nested else 'false'},\n"
        "\t},\n"
    )


def _order() -> str:
    """Return assertions that enums here and in probe_targets.h have the same numbers."""
    contexts = {f"PROBE_{context.name}": number for number, context in enumerate(Context)}
    agents = {f"PROBE_BY_{agent.name}": number for number, agent in enumerate(Agent)}
    return "".join(
        f"static_assert({name} == {number});\n" for name, number in (contexts | agents).items()
    )


def _limits(cases: Sequence[Case]) -> str:
    """Return assertions that the cases keep the limits of probe_targets.h."""
    area = max((case.layout.stack_size for case in cases), default=0)
    count = max((len(case.arguments) for case in cases), default=0)
    return f"static_assert({area} <= PROBE_AREA_MAX);\nstatic_assert({count} <= PROBE_ARGS_MAX);\n"


def case_at(text: str, line: int) -> str:
    """Return the case that a line of source()'s text belongs to, or an empty string."""
    before = "\n".join(text.splitlines()[:line])
    marks: list[str] = re.findall(_MARKS, before, re.MULTILINE)
    return marks[-1] if marks else ""


def source(cases: Sequence[Case]) -> str:
    """Return the whole of cases.c."""
    functions = "\n".join(case_source(case) for case in cases)
    entries = "".join(_entry(case) for case in cases)
    return (
        f"{_HEAD}\n{_limits(cases)}{_order()}\n{functions}\n"
        f"{_TABLE}\nstruct probe_case probe_cases[] = {{\n{entries}}};\n\n"
        "const unsigned int probe_case_count = ARRAY_SIZE(probe_cases);\n"
    )
