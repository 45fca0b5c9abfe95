# SPDX-License-Identifier: GPL-2.0-only
"""Kernels: from a Debian package, an image or a source tree, and what is changed in it."""
