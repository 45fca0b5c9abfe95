# SPDX-License-Identifier: GPL-2.0-only
"""Small stand-ins for kernel trees, written for these tests."""

from __future__ import annotations

from pathlib import Path

# Configures and "builds" as far as harness/kernel/treebuild.py can tell.
_MAKEFILE = """\
VERSION = {version}
PATCHLEVEL = {patchlevel}

allnoconfig:
	@if [ -e $(CURDIR)/broken-kconfig ]; then echo "Kconfig:7: syntax error" >&2; exit 1; fi
	@grep -v CONFIG_UNKNOWN $(KCONFIG_ALLCONFIG) > $(O)/.config

Image modules: built

built:
	@echo "  CC      kernel/kprobes.o"
	@if grep -q '#error' $(CURDIR)/kernel/kprobes.c; then \\
		echo "kernel/kprobes.c:1:2: error: #error broken on purpose" >&2; \\
		echo "kernel/other.c:9:9: error: a later one" >&2; exit 2; fi
	@mkdir -p $(O)/arch/arm64/boot $(O)/include/config
	@echo {version}.{patchlevel}.0 > $(O)/include/config/kernel.release
	@printf '%56s' > $(O)/arch/arm64/boot/Image
	@printf 'ARM\\144' >> $(O)/arch/arm64/boot/Image
	@echo $(CURDIR) >> $(O)/builds
"""


def source_tree(path: Path, version: str) -> Path:
    """The least that counts as a tree of Linux for arm64."""
    major, minor = version.split(".")
    files = {
        "Makefile": _MAKEFILE.format(version=major, patchlevel=minor),
        "Kconfig": "# stand-in\n",
        "kernel/kprobes.c": "/* stand-in */\n",
        "arch/arm64/Makefile": "# stand-in\n",
    }
    for name, text in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text(text)
    return path
