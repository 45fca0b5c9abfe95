# SPDX-License-Identifier: GPL-2.0-only
"""Which cases can be played: limits of the guest, of C and of arm64 kernels."""

from __future__ import annotations

import re
from collections.abc import Iterable

from harness.abi import ctype
from harness.errors import ConfigError
from harness.model.case import Agent, Case
from harness.model.context import Context

# The most bytes of arguments in any context.
ARGUMENTS_SIZE_MAX = max(context.traits.arguments_max for context in Context)
# A stack area that no frame of the test module comes near.
AREA_MAX = 1024
ARGUMENTS_MAX = 64
DIVE_MAX = 4096


def check(case: Case) -> None:
    """Raise ConfigError for a case that cannot be played."""
    if not 1 <= len(case.arguments) <= ARGUMENTS_MAX:
        raise ConfigError(f"arguments: give 1 to {ARGUMENTS_MAX}.")
    if not case.named:
        raise ConfigError("arguments: C needs a named argument before '...'.")
    if case.layout.stack_size > AREA_MAX:
        raise ConfigError(f"arguments: more than {AREA_MAX} bytes on the stack.")
    limit = case.context.traits.arguments_max
    if sum(argument.type.size for argument in case.arguments) > limit:
        raise ConfigError(
            f"arguments: more than {limit} bytes in all (context {case.context.value})."
        )
    _check_types(case)
    _check_handler(case)
    _check_real(case)


def _scalars(type_: ctype.CType) -> Iterable[ctype.Scalar]:
    if isinstance(type_, ctype.Scalar):
        yield type_
    elif isinstance(type_, ctype.Array):
        yield from _scalars(type_.element)
    else:
        for member in type_.members:
            yield from _scalars(member.type)


def _check_types(case: Case) -> None:
    """Raise ConfigError for an argument that no kernel function can take."""
    for index, argument in enumerate(case.arguments):
        for scalar in _scalars(argument.type):
            if scalar.kind in (ctype.TypeKind.FLOAT, ctype.TypeKind.VECTOR):
                raise ConfigError(
                    f"argument {index}: a kernel function cannot take '{scalar.spelling}',"
                    " as arm64 kernels are built with -mgeneral-regs-only."
                )
        if index < case.named:
            continue
        if argument.type.size < 4 or case.layout.placements[index].by_reference:
            raise ConfigError(
                f"argument {index}: a variadic '{argument.type.spelling}' is not"
                " supported; pass 4 to 16 bytes."
            )


def _check_reference(case: Case, index: int) -> None:
    """Raise ConfigError where the probed function would follow a wrong address."""
    placement, handler = case.layout.placements[index], case.handler
    slot = placement.stack if placement.by_reference else None
    if slot is not None and slot < handler.overwrite:
        raise ConfigError(
            f"handler.overwrite: reaches the address of argument {index}, which the probed"
            " function follows."
        )
    if index in case.forwarded and (not placement.by_reference or case.arguments[index].boxed):
        raise ConfigError(f"forwarded: argument {index} is not passed by reference.")
    va_list = case.arguments[index].type == ctype.VA_LIST
    if va_list and (index in case.forwarded or index in handler.assign):
        raise ConfigError(f"argument {index}: a va_list can only be consumed.")


def _check_handler(case: Case) -> None:
    """Raise ConfigError for a handler that would kill the guest or undo its own writes."""
    handler, count = case.handler, len(case.arguments)
    for index in (*handler.assign, *case.forwarded):
        if not 0 <= index < count:
            raise ConfigError(f"there is no argument {index}; the last is {count - 1}.")
    for indices in (handler.assign, case.forwarded):
        if len(set(indices)) < len(indices):
            raise ConfigError("handler.assign, forwarded: name an argument only once.")
    if handler.assign and handler.overwrite:
        raise ConfigError("handler: assign and overwrite would undo each other.")
    if any(index >= case.named for index in handler.assign):
        raise ConfigError("handler.assign: C has no name for a variadic argument.")
    if not 0 <= handler.overwrite <= case.layout.stack_size:
        raise ConfigError(
            f"handler.overwrite: {handler.overwrite} bytes from SP reach past the argument"
            f" area of {case.layout.stack_size} bytes, into the caller's frame."
        )
    if not 0 <= handler.dive <= DIVE_MAX:
        raise ConfigError(f"handler.dive: give 0 to {DIVE_MAX} bytes.")
    for index in range(count):
        _check_reference(case, index)
    if consume := handler.consume:
        if not 0 <= consume.argument < count or (
            case.arguments[consume.argument].type != ctype.VA_LIST
        ):
            raise ConfigError("handler.consume: needs an argument that is a va_list.")
        if not 1 <= consume.words <= 12:
            raise ConfigError("handler.consume.words: give 1 to 12.")
    _check_log(case)
    shared = case.object.argument if case.object else None
    if shared is not None and (shared not in case.forwarded or shared in handler.assign):
        raise ConfigError(
            f"object.argument: argument {shared} has to be forwarded, and only the writer's."
        )
    if case.object and not 1 <= case.object.size <= 256:
        raise ConfigError("object.size: give 1 to 256 bytes.")
    writer = case.object.writer if case.object else None
    if case.context is Context.HARDIRQ and Agent.INTERRUPT in (writer, case.nested):
        raise ConfigError("context: a handler in a hard interrupt is not interrupted.")


def _check_log(case: Case) -> None:
    """Raise ConfigError for what vsnprintf() would not format."""
    if not (log := case.handler.log):
        return
    if not case.real:
        raise ConfigError("handler.log: only the kernel's own functions are passed a format.")
    types = dict(enumerate(case.types))
    if types.get(log.argument) != ctype.VA_LIST or types.get(log.format) != ctype.POINTER:
        raise ConfigError("handler.log: needs a format, a 'void *', and a va_list.")


# A symbol, and a word that is an argument of a program: see real.c.
_SYMBOL, _WORD = r"[A-Za-z_]\w{0,79}", r"[!-~]{1,64}"


def _check_real(case: Case) -> None:
    """Raise ConfigError for what cannot be done with a function of the kernel's own."""
    if case.real is None:
        return
    if case.object or case.nested or case.forwarded or not case.valid_fp:
        raise ConfigError(
            "real: the kernel calls the function, so there is no object, frame_pointer, nested"
            " or forwarded."
        )
    if any(argument.boxed for argument in case.arguments):
        raise ConfigError("real: give the function's own types, and not boxed.")
    if case.context in (Context.DEEP, Context.KTHREAD_TOP):
        raise ConfigError("context: a program leads to process, softirq or hardirq.")
    if not re.fullmatch(_SYMBOL, case.real.function):
        raise ConfigError("real.function: give the name of a function.")
    if not re.fullmatch(_WORD, case.real.action):
        raise ConfigError(
            "real.action: give one word, of which kernel-modules/drive/drive.c knows."
        )
    if not 1 <= case.real.call <= 1000:
        raise ConfigError("real.call: give 1 to 1000.")
