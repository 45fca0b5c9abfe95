# SPDX-License-Identifier: GPL-2.0-only
"""A bootable kernel, with the files that are needed to build modules for it."""

from __future__ import annotations

import enum
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness.archive.buildroot import BuildRoot
from harness.errors import ConfigError
from harness.host import cache, given
from harness.host.unpacked import unpacked
from harness.model.policy import Policy
from harness.toolchain.compiler import Compiler
from harness.toolchain.toolchain import Toolchain, in_root

# The largest module that is read, which may have debug information.
_MODULE_MAX = 512 * given.MIB


def numbers(version: str) -> tuple[int, ...]:
    """Return a version's numbers, for comparison: (6, 1, 0, 56) for "6.1.0-56-cloud-arm64"."""
    return tuple(int(number) for number in re.findall(r"\d+", version.partition("arm64")[0]))


class Engine(enum.Enum):
    """What implements jprobes in the guest; the values name modules and Kconfig fragments."""

    # Our module, on top of kprobes.
    PORT = "port"
    # The kernel itself.
    NATIVE = "native"


@dataclass(frozen=True, kw_only=True)
class Kbuild:
    """How modules are built for a kernel."""

    # The tree for "make -C", with the kernel's Module.symvers.
    folder: Path
    # The folder below which everything lies that a build reads.
    home: Path
    # What make needs before "M="; empty: "-C" and `folder`.
    make: tuple[str, ...] = ()
    # Compiler flags that modules need as well.
    flags: tuple[str, ...] = ()
    # The root that the kernel's tools run in if not on this machine, and its compiler there.
    root: BuildRoot | None = None
    own_compiler: str = ""

    def toolchain(self, compiler: Compiler) -> Toolchain:
        """Return the toolchain that builds modules with `compiler`."""
        if self.root:
            return in_root(compiler, self.root, self.own_compiler)
        return Toolchain(compiler)


@dataclass(frozen=True, kw_only=True)
class Bootable:
    """A kernel on disk, as far as booting it in a guest goes."""

    # The spec by which the user named it.
    spec: str
    # As uname -r prints it.
    release: str
    # Version of the package or tree.
    version: str
    image: Path
    # The .config it was built with.
    config: Path
    # lib/modules/RELEASE of its own modules.
    modules: Path
    # An arm64 busybox, of which the guest's user space is made.
    busybox: Path
    # Differs from another kernel's key if any of its files differs.
    key: str
    engine: Engine = Engine.PORT
    # For the native engine: what the tree's own jprobes do, in words.
    jprobes: str = ""
    # The same as a policy, for a kernel that follows its own.
    own_policy: Policy | None = None
    # The memory and the time to boot that its guests get, where the user set them.
    memory_mib: int | None = None
    boot_seconds: float | None = None
    # Whether each guest is booted, in place of a clone of one that has booted.
    cold: bool = False
    # NAME=VALUE that the user passes to make.
    variables: tuple[str, ...] = ()
    # Entries of the cache that it consists of, and a function that makes damaged ones anew.
    entries: tuple[Path, ...] = ()
    renew: Callable[[], object] = field(default=lambda: None, compare=False)

    def has(self, option: str) -> bool:
        """Return whether an option of its configuration is y."""
        return f"\n{option}=y\n" in f"\n{self.config.read_text(errors='replace')}"

    def mend(self) -> None:
        """
        Check all of its files in the cache, and make damaged ones anew.

        Raises InfrastructureError where that does not help.
        """
        try:
            cache.check(*self.entries)
        except cache.DamagedEntry:
            self.renew()
            cache.check(*self.entries)


@dataclass(frozen=True, kw_only=True)
class Kernel(Bootable):
    """A kernel for which modules can be built."""

    kbuild: Kbuild


# The options without which nothing can be played, and what needs each.
_NEEDED = {
    "CONFIG_MODULES": "which jprobes need",
    "CONFIG_KPROBES": "which jprobes need",
    "CONFIG_DEBUG_FS": "in which the test modules have their file",
}
_NEEDED_BY = {
    Engine.PORT: _NEEDED | {"CONFIG_VMAP_STACK": "which jprobes need"},
    Engine.NATIVE: _NEEDED,
}

_MOUNTED = "the guest writes to a file in debugfs"
# Options with which a kernel cannot run as a guest here, and why.
_IMPOSSIBLE = {
    "CONFIG_CPU_BIG_ENDIAN": "the guest's programs are little-endian",
    "CONFIG_CMDLINE_FORCE": "the guest's console is on the command line",
    "CONFIG_INITRAMFS_FORCE": "the guest's root file system is an initrd",
    "CONFIG_DEBUG_FS_DISALLOW_MOUNT": _MOUNTED,
    "CONFIG_DEBUG_FS_ALLOW_NONE": _MOUNTED,
    "CONFIG_LOCK_DOWN_KERNEL_FORCE_INTEGRITY": _MOUNTED,
    "CONFIG_LOCK_DOWN_KERNEL_FORCE_CONFIDENTIALITY": _MOUNTED,
}


def check_config(spec: str, config: Path, engine: Engine = Engine.PORT) -> None:
    """Raise ConfigError for a kernel in which jprobes cannot work, or which cannot be a guest."""
    text = f"\n{config.read_text(errors='replace')}"
    if "\nCONFIG_ARM64=y\n" not in text:
        raise ConfigError(f"The kernel {spec} was not configured for arm64.")
    for option, why in _NEEDED_BY[engine].items():
        if f"\n{option}=y\n" not in text:
            raise ConfigError(
                f"The kernel {spec} was built without {option}, {why}.",
                "Choose another kernel; see: jprobe-harness list kernels",
            )
    for option, why in _IMPOSSIBLE.items():
        if f"\n{option}=y\n" in text:
            raise ConfigError(
                f"The kernel {spec} is configured with {option}, and {why}.",
                "Choose another kernel, or leave the option out.",
            )


def _module_name(path: Path) -> str:
    return path.name.partition(".ko")[0].replace("-", "_")


def read_module(path: Path) -> bytes:
    """Return a module's content, uncompressed."""
    data = given.read(path, _MODULE_MAX)
    return unpacked(path, "xz", data, _MODULE_MAX) if path.suffix == ".xz" else data


def _depends(path: Path) -> list[str]:
    """Return the names of the modules that a module needs, from its .modinfo section."""
    import io

    from elftools.elf.elffile import ELFFile

    section = ELFFile(io.BytesIO(read_module(path))).get_section_by_name(".modinfo")
    data = section.data() if section else b""
    match = re.search(rb"(?:^|\0)depends=([^\0]*)", data)
    names = match[1].decode() if match else ""
    return [name.replace("-", "_") for name in names.split(",") if name]


def module_order(kernel: Bootable, wanted: Sequence[str]) -> list[Path] | None:
    """
    Return the files of modules to load, dependencies first; built-in ones are left out.

    Returns None where the kernel has one of them neither built in nor as a module.
    """
    files = {_module_name(path): path for path in kernel.modules.rglob("*.ko*")}
    order: list[Path] = []

    def visit(name: str) -> bool:
        if name not in files:
            return False
        if files[name] not in order:
            # modpost lists only modules, not what is built in.
            if not all(visit(needed) for needed in _depends(files[name])):
                return False
            order.append(files[name])
        return True

    def is_there(name: str) -> bool:
        return kernel.has(f"CONFIG_{name.upper()}") or visit(name)

    return order if all(is_there(name) for name in wanted) else None
