# SPDX-License-Identifier: GPL-2.0-only
"""What the harness needs of the machine that it runs on: programs, files, signals."""
