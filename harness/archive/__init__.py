# SPDX-License-Identifier: GPL-2.0-only
"""Debian archives: packages, root file systems to build in, and programs for guests."""
