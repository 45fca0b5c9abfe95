# SPDX-License-Identifier: GPL-2.0-only
"""Folders that show without this program what a BPF program leaves wrong"""
