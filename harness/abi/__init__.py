# SPDX-License-Identifier: GPL-2.0-only
"""What the calling convention makes of C types; pure."""
