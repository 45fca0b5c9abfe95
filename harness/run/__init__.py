# SPDX-License-Identifier: GPL-2.0-only
"""A plan, the boots that play it, and what is kept of them."""
