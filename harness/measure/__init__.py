# SPDX-License-Identifier: GPL-2.0-only
"""What many plays show together: fuzzed cases, storms, costs, layouts, times."""
