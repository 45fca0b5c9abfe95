# SPDX-License-Identifier: GPL-2.0-only
"""Times of whole commands, beside a boot of the same kernel that plays nothing."""
