# SPDX-License-Identifier: GPL-2.0-only
"""A result, told to people and to programs."""
