# SPDX-License-Identifier: GPL-2.0-only
"""Reports on a nightly run, in formats for people and for programs."""
