# SPDX-License-Identifier: GPL-2.0-only
"""The database that nightly runs are stored in: its tables, and how it is opened."""
