# SPDX-License-Identifier: GPL-2.0-only
"""Where arguments lie, in a table and for programs."""
