# SPDX-License-Identifier: GPL-2.0-only
"""What runs inside a guest: its initramfs, records, complaints of its kernel's."""
