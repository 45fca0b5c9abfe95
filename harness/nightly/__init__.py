# SPDX-License-Identifier: GPL-2.0-only
"""The regression job: kernels x variants x cases, stored and compared."""
