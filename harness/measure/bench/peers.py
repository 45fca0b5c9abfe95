# SPDX-License-Identifier: GPL-2.0-only
"""Other programs that boot a kernel and run something in it, where they are installed."""

from __future__ import annotations

import functools
import importlib.util
import json
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.errors import InfrastructureError
from harness.guest import cpio, initramfs
from harness.kernel.kernel import Bootable
from harness.measure.bench import command
from harness.measure.bench.rounds import Round, Taker
from harness.measure.bench.rows import BARE
from harness.measure.bench.spread import Spread, spread
from harness.run import boot
from harness.vm.machine import COMMAND_LINE, QEMU

# In a kernel's source tree.
_KUNIT = "tools/testing/kunit/kunit.py"
_KUNIT_OPTIONS = ("MODULES", "KPROBES", "DEBUG_KERNEL", "KUNIT", "KPROBES_SANITY_TEST")
# In drgn's source tree; it is not part of the package.
_VMTEST = "vmtest.vm"
_PROMPT = "peer# "
# A guest with a shell on its console; it ends when whoever drives it ends QEMU.
_INIT = f"""\
#!/bin/busybox sh
/bin/busybox ln -s busybox /bin/sh
export PATH=/bin PS1='{_PROMPT}'
exec /bin/busybox setsid -c /bin/sh
"""
_LABGRID = """\
import sys
from labgrid import Environment
target = Environment(sys.argv[1]).get_target("main")
power = target.get_driver("QEMUDriver")
power.on()
target.get_driver("ShellDriver").run_check("true")
power.off()
"""


class Missing(Exception):
    """A peer cannot be measured here; the sentence says what it needs."""


@dataclass(frozen=True)
class Ground:
    """What a peer runs on."""

    # With the memory that the bare boot has.
    kernel: Bootable
    # For files that it needs.
    folder: Path
    # An arm64 root file system of the user's.
    root: Path | None = None


@dataclass(frozen=True)
class Call:
    """How a peer is called."""

    # Its command line, which is timed.
    words: tuple[str, ...]
    # One that has to run once before, and is not.
    before: tuple[str, ...] = ()


@dataclass(frozen=True)
class Peer:
    """A program that is timed beside ours."""

    name: str
    does: str
    # Which kernel it boots, in words.
    kernel: str
    # Returns how it is called; raises Missing.
    call: Callable[[Ground], Call]


@dataclass(frozen=True)
class Measured:
    """What was measured of a peer; nothing if it is missing."""

    peer: Peer
    command: tuple[str, ...] = ()
    # What it needs, or "".
    missing: str = ""
    # Of each round, in seconds, and divided by the bare boot's time.
    seconds: tuple[float, ...] = ()
    ratios: tuple[float, ...] = ()

    @property
    def ratio(self) -> Spread | None:
        return spread(self.ratios) if self.ratios else None


def _kunit(ground: Ground) -> Call:
    script = Path(ground.kernel.spec).expanduser().absolute() / _KUNIT
    if not script.is_file():
        raise Missing("It is part of a kernel's source tree: give one with --kernel DIR.")
    common = (
        "--arch=arm64", "--cross_compile=aarch64-linux-gnu-", f"--build_dir={ground.folder}",
    )  # fmt: skip
    python = (sys.executable, str(script))
    added = (f"--kconfig_add=CONFIG_{name}=y" for name in _KUNIT_OPTIONS)
    return Call((*python, "exec", *common, "kprobes_test"), (*python, "build", *common, *added))


def _virtme(ground: Ground) -> Call:
    vng = _installed("vng", "Install virtme-ng from PyPI or Debian.")
    if not ground.kernel.has("CONFIG_9P_FS"):
        raise Missing("It needs a kernel with CONFIG_9P_FS, for its root file system.")
    if ground.root is None:
        raise Missing("It needs an arm64 root file system with bash and udev: --peer-root DIR.")
    config = boot.machine(ground.kernel, b"").config
    return Call(
        (
            vng, "--run", str(ground.kernel.image), "--arch", "arm64", "--root", str(ground.root),
            "--force-9p", "--disable-kvm", "--cpus", str(config.cpus),
            "--memory", f"{config.memory_mib}M", "--exec", "true",
        )
    )  # fmt: skip


def _labgrid(ground: Ground) -> Call:
    client = _installed("labgrid-client", "Install labgrid from PyPI.")
    initrd = ground.folder / "initrd"
    shell = cpio.archive([cpio.file("init", _INIT.encode(), executable=True)])
    initrd.write_bytes(initramfs.bare(ground.kernel) + shell)
    config = boot.machine(ground.kernel, b"").config
    driver = {
        "qemu_bin": "qemu",
        "machine": "virt",
        "cpu": config.cpu,
        "memory": f"{config.memory_mib}M",
        "kernel": "kernel",
        "boot_args": COMMAND_LINE,
        "extra_args": f"-smp {config.cpus} -initrd {initrd} -nodefaults -no-reboot",
    }
    prompt = {"prompt": _PROMPT, "login_prompt": " login: ", "username": "root"}
    environment = {
        "targets": {"main": {"drivers": [{"QEMUDriver": driver}, {"ShellDriver": prompt}]}},
        "tools": {"qemu": shutil.which(QEMU)},
        "images": {"kernel": str(ground.kernel.image)},
    }
    # JSON is YAML, too.
    file = ground.folder / "environment.yaml"
    file.write_text(json.dumps(environment))
    script = ground.folder / "run_true.py"
    script.write_text(_LABGRID)
    # The interpreter that has the package is beside the program.
    return Call((str(Path(client).parent / "python3"), str(script), str(file)))


def _vmtest(ground: Ground) -> Call:
    try:
        found = importlib.util.find_spec(_VMTEST)
    except ModuleNotFoundError:
        found = None
    if found is None:
        raise Missing("It is part of drgn's source tree: name a checkout in PYTHONPATH.")
    return Call((sys.executable, "-m", _VMTEST, "-k", "6.1.*", "--", "true"))


PEERS = (
    Peer("kunit.py", "its kprobes suite", "the tree, configured and built by it", _kunit),
    Peer("virtme-ng", "the command true", "the same", _virtme),
    Peer("labgrid", "the command true", "the same", _labgrid),
    Peer("drgn's vmtest", "the command true", "one of its own, for this machine", _vmtest),
)


def _installed(program: str, how: str) -> str:
    found = shutil.which(program)
    if found is None:
        raise Missing(f"There is no {program}.  {how}")
    return found


def calls(ground: Ground, peers: Sequence[Peer] = PEERS) -> dict[Peer, Call | Missing]:
    """Return how each peer is called, or what it needs; each has a folder of its own."""
    found: dict[Peer, Call | Missing] = {}
    for number, peer in enumerate(peers):
        folder = ground.folder / f"peer-{number}"
        folder.mkdir()
        try:
            call = peer.call(Ground(ground.kernel, folder, ground.root))
            if call.before:
                command.run(call.before)
            # One that does not work here does not end what the others are measured in.
            command.run(call.words)
            found[peer] = call
        except Missing as missing:
            found[peer] = missing
        except InfrastructureError as error:
            found[peer] = Missing(str(error))
    return found


def takers(calls: Mapping[Peer, Call | Missing]) -> dict[str, Taker]:
    """Return how the peers that are there are timed, by name."""
    return {
        peer.name: Taker(functools.partial(command.run, call.words))
        for peer, call in calls.items()
        if isinstance(call, Call)
    }


def measured(calls: Mapping[Peer, Call | Missing], rounds: Sequence[Round]) -> list[Measured]:
    """Return what rounds with the takers came to."""
    made = []
    for peer, call in calls.items():
        if isinstance(call, Missing):
            made.append(Measured(peer, missing=str(call)))
            continue
        seconds = tuple(one[peer.name].seconds for one in rounds)
        bare = (one[BARE].seconds for one in rounds)
        ratios = tuple(taken / alone for taken, alone in zip(seconds, bare))
        made.append(Measured(peer, call.words, "", seconds, ratios))
    return made
