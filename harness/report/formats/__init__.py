# SPDX-License-Identifier: GPL-2.0-only
"""A result in the forms that programs read."""
