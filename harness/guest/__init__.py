# SPDX-License-Identifier: GPL-2.0-only
"""The guest's side: its initramfs, its records, and its kernel's complaints."""
