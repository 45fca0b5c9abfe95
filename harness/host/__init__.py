# SPDX-License-Identifier: GPL-2.0-only
"""The machine that the harness runs on: its programs, files and signals."""
