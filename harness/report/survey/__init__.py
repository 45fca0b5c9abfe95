# SPDX-License-Identifier: GPL-2.0-only
"""Surveys of kernels' functions, for people and programs."""
