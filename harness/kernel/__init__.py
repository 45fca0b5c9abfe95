# SPDX-License-Identifier: GPL-2.0-only
"""Kernels: Debian's packages, a user's images, and source trees with a user's changes."""

# The spec of a command without --kernel, and the one for all of Debian's kernels.
DEFAULT = "debian:6.1"
ALL = "debian:all"
