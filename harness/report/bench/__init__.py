# SPDX-License-Identifier: GPL-2.0-only
"""What was timed, for people, as JSON, and as a picture."""
