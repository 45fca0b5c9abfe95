# SPDX-License-Identifier: GPL-2.0-only
"""The test modules: C that is generated from cases, built for a kernel, and proved."""
