# SPDX-License-Identifier: GPL-2.0-only
"""What `tracers --reproducer` writes, built as its README says and run in guests of its own."""

from __future__ import annotations

import functools
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from harness.archive import plain
from harness.cases.catalog import Catalog
from harness.guest import cpio
from harness.kernel import spec
from harness.kernel.kernel import Kernel
from harness.reproducer import folder
from harness.reproducer.finding import Finding, Seen, findings
from harness.run import boot, job
from harness.run.session import Session
from harness.settings import load
from harness.toolchain.compiler import CROSS_COMPILE, GCC
from harness.toolchain.make import words
from harness.tracers.catalog import select
from harness.tracing import run as tracing
from harness.vm.running import running

BUILD_SECONDS = GUEST_SECONDS = 300
WRONG, REFUSING = "debian:7.2", "debian:6.12"
INIT = b"""#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sys /sys
while read -r folder how; do
	"/$folder/reproduce.sh" run $how
	echo "$folder: status=$?"
done </runs
poweroff -f
"""
INSIDE = ("reproducer.ko", "attach", folder.SCRIPT)


@functools.cache
def kernel_of(name: str) -> Kernel:
    return spec.resolve(name, Catalog(), load())


@pytest.fixture(scope="module")
def found(catalog: Catalog) -> Mapping[str, Finding]:
    kernel, modules = job.prepare(WRONG, catalog, traced=True)
    cases = catalog.select_cases(["struct-16-aligned"])
    played = tracing.run(kernel, modules, select(["fexit", "fmod-ret"]), cases)
    return {one.name: one for one in findings([kernel], [played])}


def without_alignment(finding: Finding, catalog: Catalog) -> Finding:
    (case,) = catalog.select_cases(["stack-10"])
    wrong = finding.wrong
    return replace(finding, wrong=Seen(wrong.kernel, replace(wrong.cell, case=case, left={})))


def build(finding: Finding, place: Path, kernel: Kernel) -> Path:
    """Write the folder and build it, for another machine and with its kernel's headers."""
    folder.write(finding, place)
    toolchain = kernel.kbuild.toolchain(GCC)
    toolchain.prepare()
    # What this compiler does not know of what the kernel was built with.
    flags = " ".join(words(toolchain.make_variables, ()))
    variables = {
        "KDIR": str(plain.name(kernel.kbuild.folder)),
        "CROSS_COMPILE": CROSS_COMPILE,
        "CC": toolchain.compiler.program,
        "MAKEFLAGS": flags,
    }
    done = toolchain.run(
        [
            "env",
            *(f"{name}={value}" for name, value in variables.items()),
            plain.name(place) / folder.SCRIPT,
            "build",
        ],
        readable=[kernel.kbuild.home],
        writable=[place],
        seconds=BUILD_SECONDS,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "warning" not in done.stderr
    return place


def contents(kernel: Kernel, places: Sequence[Path], runs: Sequence[str]) -> bytes:
    return cpio.archive(
        [
            *(cpio.directory(name) for name in ("bin", "dev", "proc", "sys")),
            *(cpio.directory(place.name) for place in places),
            cpio.character_device("dev/console", 5, 1),
            cpio.file("bin/busybox", kernel.busybox.read_bytes(), executable=True),
            cpio.file("init", INIT, executable=True),
            cpio.file("runs", "".join(f"{line}\n" for line in runs).encode()),
            *(
                cpio.file(f"{place.name}/{name}", (place / name).read_bytes(), executable=True)
                for place in places
                for name in INSIDE
            ),
        ]
    )


@dataclass(frozen=True)
class Ran:
    """What a script said in a guest, and its exit status."""

    said: str
    status: int


def run(kernel: Kernel, places: Sequence[Path], runs: Sequence[str]) -> list[Ran]:
    """Run the scripts of folders in a guest that has nothing else."""
    initrd = contents(kernel, places, runs)
    text: list[str] = []
    with running(boot.machine(kernel, initrd), initrd) as started:
        session = Session(started)
        session.console.echo = text.append
        assert session.wait(GUEST_SECONDS) == []
        session.check_end()
    # The kernel's own messages are on the same line.
    said = re.sub(r"^\[ *\d+\.\d+\].*\n", "", "".join(text).replace("\r", ""), flags=re.MULTILINE)
    parts = re.findall(r"((?:.*\n)*?)^\S+: status=(\d+)$\n?", said, re.MULTILINE)
    assert len(parts) == len(runs), said
    return [Ran(text, int(status)) for text, status in parts]


@pytest.mark.full
def test_wrong_bytes_are_shown(
    found: Mapping[str, Finding], catalog: Catalog, tmp_path: Path
) -> None:
    assert list(found) == ["fexit-struct-16-aligned", "fmod-ret-struct-16-aligned"]
    kernel = kernel_of(WRONG)
    control = without_alignment(found["fexit-struct-16-aligned"], catalog)
    every = {**found, "control": control}
    places = [build(one, tmp_path / name, kernel) for name, one in every.items()]
    fexit, fmod_ret, aligned = (place.name for place in places)
    plan = [fexit, fmod_ret, f"{fexit} fentry", f"{fmod_ret} fexit", f"{fexit} fmod-ret", aligned]
    *wrong, fentry, other, unfit, intact = run(kernel, places, plan)
    for ran in (*wrong, other):
        assert "without a program: intact\n" in ran.said
        assert re.search(
            r": CORRUPT\nargument 10: passed 0xc1b6aba0958a7f74, saw 0x(?!c1b6)[0-9a-f]{16}\n$",
            ran.said,
        )
        assert ran.status == 1
    # The positive controls: a program for which the function is not called anew, one that the
    # function is not registered for, and a function without an argument that is aligned so.
    assert (fentry.status, fentry.said.splitlines()[-1]) == (0, "with fentry: intact")
    assert unfit.status == 2
    assert "with fmod-ret: refused (load: EINVAL" in unfit.said
    assert (intact.status, intact.said.splitlines()[-1]) == (0, "with fexit: intact")


@pytest.mark.full
def test_a_refusal_is_shown(found: Mapping[str, Finding], tmp_path: Path) -> None:
    kernel = kernel_of(REFUSING)
    places = [build(one, tmp_path / name, kernel) for name, one in found.items()]
    for ran in run(kernel, places, list(found)):
        assert ran.said.splitlines()[-2:][0] == "without a program: intact"
        assert re.search(r"refused \(attach: ENOTSUPP", ran.said.splitlines()[-1])
        assert ran.status == 2


def test_where_nothing_is_wrong_no_folder_is_written(kernel: Kernel, tmp_path: Path) -> None:
    command = ["jprobe-harness", "tracers", "--kernel", kernel.spec, "--tracer", "kprobe"]
    target = tmp_path / "reproducer"
    done = subprocess.run(
        [*command, "--case", "stack-9", "--reproducer", target], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == f"No BPF program leaves an argument wrong: nothing is in {target}.\n"
    assert not target.exists()
