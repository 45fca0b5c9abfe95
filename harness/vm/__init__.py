# SPDX-License-Identifier: GPL-2.0-only
"""One QEMU process and the lines that lead into it."""
