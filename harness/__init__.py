# SPDX-License-Identifier: GPL-2.0-only
"""Measures which arguments a jprobe's stack policy leaves corrupt."""

__version__ = "0.1.0"
