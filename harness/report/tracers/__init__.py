# SPDX-License-Identifier: GPL-2.0-only
"""The cells of tracers, for people and for programs"""
