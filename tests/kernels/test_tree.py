# SPDX-License-Identifier: GPL-2.0-only
"""A real source tree, built here, under every variant and case."""

from __future__ import annotations

import re
import subprocess
import time
from pathlib import Path

import pytest

from harness import settings
from harness.cases.catalog import Catalog
from harness.kernel import spec, tree
from harness.kernel.kernel import Kernel
from harness.modules import build as modules
from tests.kernels.command import REPRO_SECONDS, repro


def made(output: str) -> set[str]:
    """The kinds of entries that a run with -v has made in the cache, which others use, too."""
    kinds = set(re.findall(r"make (\w+)/\w+ in the cache: [0-9]", output))
    return kinds & {"trees", "modules", "sources"}


@pytest.fixture(scope="module")
def before(linux: Path) -> str:
    return tree.opened(linux).digest


def test_every_verdict_agrees_and_a_second_run_builds_nothing(
    linux: Path, tmp_path: Path, before: str
) -> None:
    status, output, document = repro(tmp_path, "--kernel", linux)
    assert status == 0, output
    summary = document["summary"]
    assert summary["complete"]
    assert summary["engine"] == "port"
    assert summary["agree"] == summary["planned"] > 600
    again = ("-v", "--kernel", linux, "--case", "stack-9")
    status, output, document = repro(tmp_path, *again)
    assert status == 0, output
    assert not made(output)
    # A case that was never compiled.
    own = tmp_path / "own"
    own.mkdir()
    case = "shows: x\narguments: [9 x long]\n"
    (own / f"case-{time.time_ns()}.yaml").write_text(case)
    status, output, document = repro(tmp_path, *again, "--case-dir", own)
    assert status == 0, output
    assert made(output) == {"modules"}
    # The tree itself was never written to.
    assert tree.opened(linux).digest == before
    assert tree.opened(linux).clean


# A kernel with KASAN that loads only modules that its own build signed.
SANITIZED = """\
CONFIG_DEBUG_KERNEL=y
CONFIG_KASAN=y
CONFIG_MODULE_SIG=y
CONFIG_MODULE_SIG_FORCE=y
CONFIG_MODULE_SIG_SHA256=y
"""
# A kernel with control-flow integrity.
CHECKED = "CONFIG_CFI_CLANG=y\n"


@pytest.mark.parametrize(
    ("options", "cc"),
    [(SANITIZED, "gcc"), (CHECKED, "clang-19")],
    ids=["KASAN and MODULE_SIG_FORCE", "kCFI"],
)
def test_a_kernel_that_is_hard_on_modules(
    linux: Path, tmp_path: Path, options: str, cc: str
) -> None:
    fragment = tmp_path / "mine.config"
    fragment.write_text(options)
    words = ("--kernel", linux, "--kconfig", fragment, "--cc", cc)
    status, output, document = repro(tmp_path, *words)
    assert status == 0, output
    summary = document["summary"]
    assert summary["agree"] == summary["planned"] > 600


def test_an_option_that_this_kernel_drops(linux: Path, tmp_path: Path) -> None:
    fragment = tmp_path / "mine.config"
    fragment.write_text("CONFIG_NO_SUCH_THING=y\n")
    status, output, _ = repro(tmp_path, "-v", "--kernel", linux, "--kconfig", str(fragment))
    assert status == 125
    assert "dropped CONFIG_NO_SUCH_THING=y" in output
    assert not made(output)


def test_a_kernel_of_its_own_policy(linux: Path, tmp_path: Path) -> None:
    status, output, _ = repro(tmp_path, "--kernel", linux, "--variant", "tree")
    assert status == 2
    assert "has no jprobes of its own" in output


@pytest.fixture(scope="module")
def kernel(linux: Path) -> Kernel:
    """The tree as it is built where nothing more is asked for."""
    return spec.resolve(str(linux), Catalog(), settings.load())


@pytest.fixture(scope="module")
def built(kernel: Kernel) -> Path:
    """The folder that the tree was built in."""
    return kernel.kbuild.folder


def test_modules_for_a_shell_build_without_ftrace(kernel: Kernel) -> None:
    assert not kernel.has("CONFIG_FTRACE")
    cases = Catalog().select_cases(["stack-9", "real-open"])
    assert modules.build(kernel, cases, traced=True).traced


def test_an_output_tree_and_its_image(built: Path, tmp_path: Path) -> None:
    """An output tree can be given as a kernel, and so can each form of its image."""
    cells = ("--case", "stack-9", "--case", "irq-*")
    status, output, document = repro(tmp_path, "--kernel", built, *cells)
    assert status == 0, output
    for image in (built / "vmlinux", built / "arch/arm64/boot/Image"):
        status, output, document = repro(
            tmp_path, "--kernel", image, *cells, "--modules-build", str(built)
        )
        assert status == 0, output
        assert document["summary"]["complete"]
    status, output, _ = repro(tmp_path, "--kernel", built / "vmlinux", *cells)
    assert status == 2
    assert "--modules-build" in output


# Instructions that power off, by PSCI.
_POWER_OFF = b"".join(word.to_bytes(4, "little") for word in (0x52B08000, 0x72800100, 0xD4000002))
# A branch to them, from the start of the image's header.
_JUMP = (0x14000010).to_bytes(4, "little")


def test_an_image_that_does_not_boot(built: Path, tmp_path: Path) -> None:
    """Nothing can be judged, and so the run is not green."""
    data = bytearray((built / "arch/arm64/boot/Image").read_bytes())
    data[0:4] = _JUMP
    data[64 : 64 + len(_POWER_OFF)] = _POWER_OFF
    image = tmp_path / "Image"
    image.write_bytes(data)
    status, output, _ = repro(
        tmp_path, "--kernel", image, "--case", "stack-9", "--modules-build", str(built)
    )
    assert status == 125, output


def test_a_debugger_knows_the_modules_of_a_kernel_without_debug_information(linux: Path) -> None:
    done = subprocess.run(
        ["jprobe-harness", "repro", "--kernel", linux, "--case", "stack-17", "--variant",
         "fixed-64", "--gdb", "--kaslr"],
        input="info symbol register_kprobe\nhbreak jprobe_return\ncontinue\njp-save\n",
        capture_output=True, text=True, timeout=REPRO_SECONDS,
    )  # fmt: skip
    # The kernel's own symbols come from its vmlinux.
    assert "register_kprobe in section .text of" in done.stdout
    assert "vmlinux" in done.stdout
    assert "phase JPROBE_HANDLER\nsaved 64 bytes" in done.stdout, done.stdout + done.stderr


@pytest.mark.parametrize("command", ["where", "audit"])
def test_the_functions_of_a_tree(linux: Path, command: str) -> None:
    """Its usual build has neither BTF nor DWARF; what reads prototypes builds it with one."""
    words: list[str | Path] = [command, "--kernel", linux, "--function"]
    done = subprocess.run(
        ["jprobe-harness", *words, "do_sys_open"],
        capture_output=True, text=True, timeout=REPRO_SECONDS,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "do_sys_open(int dfd, const char *filename, int flags, umode_t mode)" in done.stdout
    done = subprocess.run(
        ["jprobe-harness", *words, "do_sys_opem"],
        capture_output=True, text=True, timeout=REPRO_SECONDS,
    )  # fmt: skip
    assert done.returncode == 2
    assert "The nearest: do_sys_open" in done.stderr
