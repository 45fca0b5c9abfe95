# SPDX-License-Identifier: GPL-2.0-only
"""Cases, policies, what must come of them, and what is held against it; no I/O."""
