# SPDX-License-Identifier: GPL-2.0-only
"""Cases: their files, what they may say, and cases that are drawn."""
