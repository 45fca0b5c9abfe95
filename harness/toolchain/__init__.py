# SPDX-License-Identifier: GPL-2.0-only
"""The compilers, and what builds with them need."""
