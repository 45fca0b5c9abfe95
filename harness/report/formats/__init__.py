# SPDX-License-Identifier: GPL-2.0-only
"""Results in the formats that programs read."""
