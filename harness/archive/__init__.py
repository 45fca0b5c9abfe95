# SPDX-License-Identifier: GPL-2.0-only
"""What comes from a Debian archive: packages, roots to build in, guests' programs."""
