# SPDX-License-Identifier: GPL-2.0-only
"""
Writes the C of what an ftrace redirect leads to: for each case a function with its prototype.

It keeps what it finds its arguments to be, and calls the case's function with them.
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.model.case import Case
from harness.modules import casefunctions
from harness.modules.casefunctions import NAMESPACE, symbol

_HEAD = """\
// SPDX-License-Identifier: GPL-2.0
/* Generated from configs/cases; harness/modules/twingen.py wrote it. */
#include <linux/kernel.h>
#include <linux/types.h>

#include "probe_targets.h"
"""

# As modifiable.c has it.
_NUMBERS_BEGIN = """\
#if defined(CONFIG_DEBUG_INFO_BTF_MODULES) && !defined(COMPAT_NO_FMODRET)
#include <linux/btf_ids.h>

"""


def source(cases: Sequence[Case]) -> str:
    """Return the whole of twins.c."""
    own = [case for case in cases if not case.real]
    entries = "".join(f"\t{'NULL' if c.real else symbol(c, 'twin')},\n" for c in cases)
    # 0 is that of no function, which is not in the BTF either.
    numbers = "".join(f"{_number(case)}\n" for case in cases)
    return (
        f"{_HEAD}\n"
        f'char probe_functions[] = "{NAMESPACE}_*_target";\n\n'
        + "\n".join(map(_twin, own))
        + f"\nvoid * const probe_twins[] = {{\n{entries}}};\n\n"
        + f"{_NUMBERS_BEGIN}BTF_ID_LIST_GLOBAL(probe_modifiable, {len(cases)})\n{numbers}#endif\n"
    )


def _number(case: Case) -> str:
    return "BTF_ID_UNUSED" if case.real else f"BTF_ID(func, {symbol(case, 'target')})"


def _twin(case: Case) -> str:
    """Return the types of one case, the prototype of its function, and the function's twin."""
    own = casefunctions.apart(case)
    looks = casefunctions.looks(own, "LOOK_BEFORE")
    if own.variadic:
        # C does not pass on what it has no name for.
        body = [*looks, "return 0;"]
    else:
        passed = ", ".join(f"a{index}" for index in range(own.named))
        body = [*looks, f"return {symbol(own, 'target')}({passed});"]
    head = f"static __probed int {symbol(own, 'twin')}"
    return "\n".join(
        [
            *casefunctions.types(own),
            f"{casefunctions.target_prototype(own)};\n",
            casefunctions.function(head, casefunctions.parameters(own), body),
        ]
    )
