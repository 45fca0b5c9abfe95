# SPDX-License-Identifier: GPL-2.0-only
"""The C of functions that have a case's prototype: names, types, parameters, and looks at them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from harness.model.case import Case
from harness.modules.typedefs import declare, declared_tags, define, named_types, renamed

# The prefix of every name in a case's C, which neither the kernel nor our own C uses.
NAMESPACE = "jpcase"


def _namespace(case: Case) -> str:
    return f"{NAMESPACE}_{case.name.replace('-', '_')}"


def symbol(case: Case, role: str) -> str:
    """Return the C name of a case's function, whose `role` is target, handler, call, ..."""
    return f"{_namespace(case)}_{role}"


def apart(case: Case) -> Case:
    """Return the case with type names that clash with no other case's, nor with the kernel's."""
    arguments = tuple(
        argument._replace(type=renamed(argument.type, _namespace(case)))
        for argument in case.arguments
    )
    return replace(case, arguments=arguments)


def listed(words: Sequence[str]) -> str:
    """Return parameters, each on a line of its own."""
    return ",\n\t".join(words) if len(words) > 1 else "".join(words) or "void"


def function(head: str, parameters: Sequence[str], body: Iterable[str]) -> str:
    """Return a function's definition."""
    lines = "".join(f"\t{line}\n" if line else "\n" for line in body)
    return f"{head}({listed(parameters)})\n{{\n{lines}}}\n"


def parameters(case: Case, *, forwarded_as_pointers: bool = False) -> list[str]:
    """Return the parameters of the prototype; a forwarded copy may be passed as its address."""
    words = [
        f"void *a{index}"
        if forwarded_as_pointers and index in case.forwarded
        else f"{box(case, index)} a{index}"
        if argument.boxed
        else declare(argument.type, f"a{index}")
        for index, argument in enumerate(case.arguments[: case.named])
    ]
    return [*words, "..."] if case.variadic else words


def box(case: Case, index: int) -> str:
    """Return the type of a boxed argument."""
    return f"struct {symbol(case, f'box_{index}')}"


def boxes(case: Case) -> Iterator[str]:
    """Yield the definitions of boxes."""
    for index, argument in enumerate(case.arguments):
        if argument.boxed:
            yield f"{box(case, index)} {{\n\t{declare(argument.type, '*to')};\n}};\n"


def octets(case: Case, index: int) -> str:
    """Return the bytes that an argument is about as a call takes them: address and size."""
    if case.arguments[index].boxed:
        return f"a{index}.to, sizeof(*a{index}.to)"
    return f"&a{index}, sizeof(a{index})"


def look(case: Case, when: str, index: int) -> str:
    """Return the line that keeps what an argument is."""
    return f"probe_look({when}, {index}, {octets(case, index)});"


def looks(case: Case, when: str) -> list[str]:
    """Return the lines with which a function of the case's prototype looks at its arguments."""
    body = [look(case, when, index) for index in range(case.named)]
    if not case.variadic:
        return body
    body = ["va_list ap;", "", *body, f"va_start(ap, a{case.named - 1});"]
    for index in range(case.named, len(case.arguments)):
        type_ = case.arguments[index].type
        body += [
            "{",
            f"\t{declare(type_, 'v')} = va_arg(ap, {type_.spelling});",
            "",
            f"\tprobe_look({when}, {index}, &v, sizeof(v));",
            "}",
        ]
    return [*body, "va_end(ap);"]


def types(case: Case) -> list[str]:
    """Return the declarations of the types of the case's arguments."""
    used = [argument.type for argument in case.arguments]
    return [
        "".join(dict.fromkeys(declared_tags(used))),
        *(define(type_) for type_ in dict.fromkeys(named_types(used))),
        *boxes(case),
    ]


def target_prototype(case: Case) -> str:
    """Return the prototype of the probed function."""
    return f"int {symbol(case, 'target')}({listed(parameters(case))})"
