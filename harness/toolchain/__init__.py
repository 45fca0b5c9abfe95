# SPDX-License-Identifier: GPL-2.0-only
"""Compilers, the roots that they run in, and the variables that make gets for them."""
