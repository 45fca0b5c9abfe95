# SPDX-License-Identifier: GPL-2.0-only
"""The calling convention, the policies and what follows from them; no I/O."""
