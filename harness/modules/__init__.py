# SPDX-License-Identifier: GPL-2.0-only
"""The test modules: C made from cases, built for a kernel, and proved."""
