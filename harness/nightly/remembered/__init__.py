# SPDX-License-Identifier: GPL-2.0-only
"""What a nightly run remembers of results, one module for each kind"""
