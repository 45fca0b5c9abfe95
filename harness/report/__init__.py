# SPDX-License-Identifier: GPL-2.0-only
"""Results in tables for people, and in formats for programs."""
