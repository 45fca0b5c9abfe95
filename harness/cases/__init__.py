# SPDX-License-Identifier: GPL-2.0-only
"""Cases: their files, the limits that they must keep, and cases drawn at random."""
