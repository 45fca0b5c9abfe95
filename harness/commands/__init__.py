# SPDX-License-Identifier: GPL-2.0-only
"""The commands, one module each: its options, and what it does."""
