# SPDX-License-Identifier: GPL-2.0-only
"""Kernels: Debian's packages, a user's images, and source trees with a user's changes."""
