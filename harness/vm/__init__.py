# SPDX-License-Identifier: GPL-2.0-only
"""One QEMU process, and the connections to its console, its guest and its monitor."""
