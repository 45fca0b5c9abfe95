# SPDX-License-Identifier: GPL-2.0-only
"""A guest looked into: by GDB, in its dumps, through its shell and by SSH."""
