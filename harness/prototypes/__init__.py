# SPDX-License-Identifier: GPL-2.0-only
"""The prototypes of a kernel's functions, from its BTF, without booting it."""
