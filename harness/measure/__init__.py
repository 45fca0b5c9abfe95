# SPDX-License-Identifier: GPL-2.0-only
"""Measurements over many plays: fuzzed cases, storms, costs, layouts, times."""
