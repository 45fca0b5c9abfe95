# SPDX-License-Identifier: GPL-2.0-only
"""What tracers make of a kernel's functions, in tables and for programs."""
