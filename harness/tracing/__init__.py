# SPDX-License-Identifier: GPL-2.0-only
"""Today's probes in a guest: attached to the cases' functions, and what they read there"""
