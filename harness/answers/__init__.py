# SPDX-License-Identifier: GPL-2.0-only
"""The claims of the review and of kprobes.txt, each held against stored results."""
