# SPDX-License-Identifier: GPL-2.0-only
"""A nightly run in the forms that people and programs read."""
