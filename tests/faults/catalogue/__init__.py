# SPDX-License-Identifier: GPL-2.0-only
"""
What may be wrong around a run of a few cells, and how the run has to end.

A row is a fault: what injects it, who is to blame, and a sentence that is printed.
Adding one is adding a row; its injection is a function of a few lines.
"""

from tests.faults.catalogue import (
    doors,
    emulator,
    entries,
    guest,
    machine,
    request,
    sizes,
    stops,
    surroundings,
    text,
)

GROUPS = (surroundings, request, sizes, machine, entries, emulator, doors, guest, text, stops)
FAULTS = tuple(fault for group in GROUPS for fault in group.FAULTS)
