# SPDX-License-Identifier: GPL-2.0-only
"""What runs inside the guest, and what it says."""
