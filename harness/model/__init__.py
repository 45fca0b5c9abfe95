# SPDX-License-Identifier: GPL-2.0-only
"""Cases, stack policies, predictions, and verdicts on what a guest observed; no I/O."""
