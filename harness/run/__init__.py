# SPDX-License-Identifier: GPL-2.0-only
"""Kernels x variants x cases, carried out."""
