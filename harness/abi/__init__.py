# SPDX-License-Identifier: GPL-2.0-only
"""C types and where AAPCS64 places them as arguments; no I/O."""
