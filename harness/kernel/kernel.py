# SPDX-License-Identifier: GPL-2.0-only
"""A bootable kernel with what is needed to build modules for it."""

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

# With debug information.
_MODULE_MAX = 512 * given.MIB


def numbers(version: str) -> tuple[int, ...]:
    """The numbers in a version, to compare: (6, 1, 0, 56) of "6.1.0-56-cloud-arm64"."""
    return tuple(int(number) for number in re.findall(r"\d+", version.partition("arm64")[0]))


class Engine(enum.Enum):
    """What implements jprobes in the guest; the values are names of modules and fragments."""

    # Our module, on top of kprobes.
    PORT = "port"
    # The kernel itself.
    NATIVE = "native"


@dataclass(frozen=True)
class Kernel:
    """One kernel on disk."""

    # As the user named it.
    spec: str
    # uname -r.
    release: str
    # Version of the package or tree.
    version: str
    image: Path
    # The .config it was built with.
    config: Path
    # The tree for "make -C", with this kernel's Module.symvers.
    build: Path
    # lib/modules/RELEASE of its own modules.
    modules: Path
    # An arm64 busybox for the guest.
    busybox: Path
    # Tells everything of the above apart from other kernels'.
    key: str
    # Whatever of the above a build reads lies below this folder.
    home: Path
    engine: Engine = Engine.PORT
    # Of a native one: what its tree's jprobes do, in words.
    jprobes: str = ""
    # And as a policy, where it follows its own one.
    own_policy: Policy | None = None
    # What its guests get, where the user said so: memory, and time to boot.
    memory_mib: int | None = None
    boot_seconds: float | None = None
    # What make needs before "M=" to build modules; empty: "-C" and `build`.
    make: tuple[str, ...] = ()
    # Compiler flags that its modules need too.
    flags: tuple[str, ...] = ()
    # NAME=VALUE that the user wants make to have.
    variables: tuple[str, ...] = ()
    # Where the kernel's tools run, if not on this machine; and its own compiler there.
    root: BuildRoot | None = None
    own_compiler: str = ""
    # Entries of the cache that it consists of, and what makes those anew that were damaged.
    entries: tuple[Path, ...] = ()
    renew: Callable[[], object] = field(default=lambda: None, compare=False)

    def has(self, option: str) -> bool:
        """Whether an option of its configuration is y."""
        return f"\n{option}=y\n" in f"\n{self.config.read_text(errors='replace')}"

    def mend(self) -> None:
        """
        Compare all of its files in the cache with what was made; damaged ones are made anew.

        Raises InfrastructureError where that does not help.
        """
        try:
            cache.check(*self.entries)
        except cache.DamagedEntry:
            self.renew()
            cache.check(*self.entries)

    def toolchain(self, compiler: Compiler) -> Toolchain:
        """What builds modules for it."""
        if self.root:
            return in_root(compiler, self.root, self.own_compiler)
        return Toolchain(compiler)


_NEEDED = {
    Engine.PORT: ("CONFIG_MODULES", "CONFIG_KPROBES", "CONFIG_VMAP_STACK"),
    Engine.NATIVE: ("CONFIG_MODULES", "CONFIG_KPROBES"),
}

# Options of a kernel that no guest of ours can be, and why.
_IMPOSSIBLE = {
    "CONFIG_CPU_BIG_ENDIAN": "the guest's programs are little-endian",
    "CONFIG_CMDLINE_FORCE": "the guest's console is on the command line",
    "CONFIG_INITRAMFS_FORCE": "the guest's root file system is an initrd",
}


def check_config(spec: str, config: Path, engine: Engine = Engine.PORT) -> None:
    """Refuse a kernel in which no probe can work."""
    text = f"\n{config.read_text(errors='replace')}"
    if "\nCONFIG_ARM64=y\n" not in text:
        raise ConfigError(f"The kernel {spec} was not configured for arm64.")
    for option in _NEEDED[engine]:
        if f"\n{option}=y\n" not in text:
            raise ConfigError(
                f"The kernel {spec} was built without {option}, which jprobes need.",
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
    """A module as insmod wants it."""
    data = given.read(path, _MODULE_MAX)
    return unpacked(path, "xz", data, _MODULE_MAX) if path.suffix == ".xz" else data


def _depends(path: Path) -> list[str]:
    """The modules that a module needs, from its .modinfo section."""
    import io

    from elftools.elf.elffile import ELFFile

    section = ELFFile(io.BytesIO(read_module(path))).get_section_by_name(".modinfo")
    data = section.data() if section else b""
    match = re.search(rb"(?:^|\0)depends=([^\0]*)", data)
    names = match[1].decode() if match else ""
    return [name.replace("-", "_") for name in names.split(",") if name]


def module_order(kernel: Kernel, wanted: Sequence[str]) -> list[Path] | None:
    """
    Files to load, dependencies first; built-in ones are left out.

    None where the kernel has one of them neither built in nor as a module.
    """
    files = {_module_name(path): path for path in kernel.modules.rglob("*.ko*")}
    order: list[Path] = []

    def visit(name: str) -> bool:
        if name not in files:
            return False
        if files[name] not in order:
            # What a module depends on is never built in.
            if not all(visit(needed) for needed in _depends(files[name])):
                return False
            order.append(files[name])
        return True

    def is_there(name: str) -> bool:
        return kernel.has(f"CONFIG_{name.upper()}") or visit(name)

    return order if all(is_there(name) for name in wanted) else None
