# SPDX-License-Identifier: GPL-2.0-only
"""Today's probes: what each reads of a function's arguments, by rule; no I/O"""
