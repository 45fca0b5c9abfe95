# SPDX-License-Identifier: GPL-2.0-only
"""Where a bootable kernel and modules for it come from."""
