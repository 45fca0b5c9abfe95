# SPDX-License-Identifier: GPL-2.0-only
"""A dump of a guest that died in a handler names what the handler damaged."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from harness.cases.catalog import Catalog
from harness.errors import ConfigError, Exit
from harness.inspect import crash
from harness.inspect.postmortem import Recorder, vmcore_of
from harness.kernel.kernel import Kernel
from harness.model.policy import Policy, Rule
from harness.modules import build as modules
from harness.run import logs, repro
from harness.run.plan import plays
from harness.run.result import Result
from tests.disks import under_a_small_disk
from tests.guest.conftest import DEADLINES, BrokenTree

SECONDS = 120
# Each handler ends here, after it has assigned.
ENDS = "void probe_handler_leave(void)\n{\n"
DIES = ENDS + '\tif (!strcmp(probe_playing->name, "stack-17"))\n\t\tBUG();\n'


@pytest.fixture
def died(
    kernel: Kernel, catalog: Catalog, broken_tree: BrokenTree, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Result:  # fmt: skip
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    chosen = catalog.select_cases(["stack-9", "stack-17", "stack-8"])
    built = modules.build(kernel, chosen, root=broken_tree("probe-targets/observe.c", ENDS, DIES))
    plan = plays(catalog.select_variants(["fixed-64"]), chosen)
    return repro.run(kernel, built, plan, deadlines=DEADLINES, observer=Recorder(at_end=False))


def test_a_panic_in_a_handler(died: Result, catalog: Catalog) -> None:
    assert died.exit_status == Exit.DIFFERS
    (dead,) = died.differing
    assert dead.play.case.name == "stack-17"
    assert dead.reasons[0].startswith("KernelDied")
    # The rest was played in another boot.
    assert (died.boots, died.complete) == (2, True)
    found = crash.read(Path(died.logs), crash.find(Path(died.logs)))
    assert found.case == "stack-17"
    busy = [cpu for cpu in found.cpus if cpu.phase != "JPROBE_IDLE"]
    assert len(found.cpus) == 2
    (cpu,) = busy
    assert (cpu.phase, cpu.saved, cpu.policy) == ("JPROBE_HANDLER", 64, Policy(Rule.FIXED, 64))
    case = catalog.cases["stack-17"]
    assigned = [index for index in case.handler.assign if index >= 8]
    assert crash.damage(case, cpu) == [(index, [(0, 8)]) for index in assigned]


def test_a_guest_whose_memory_is_damaged(died: Result) -> None:
    """The pointer to the current play leads nowhere."""
    folder = Path(died.logs)
    boot = crash.find(folder)
    program = crash.opened(folder, boot)
    # The next page of a module may lie elsewhere in the memory.
    page, offset = divmod(program["probe_playing"].address_, 4096)
    known = program.read(page * 4096, 4096)
    dump = vmcore_of(folder, boot)
    content = dump.read_bytes()
    assert content.count(known) == 1
    with dump.open("r+b") as file:
        file.seek(content.index(known) + offset)
        file.write(b"A" * 8)
    with pytest.raises(ConfigError, match="does not show what the jprobes were doing"):
        crash.read(folder, boot)


def test_the_command_names_the_damaged_argument(died: Result) -> None:
    run = Path(died.logs).name
    done = subprocess.run(
        ["jprobe-harness", "dump", run, "--json", "out.json"],
        capture_output=True, text=True, timeout=SECONDS, cwd=died.logs,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "argument 16 (long) is not as it was passed: byte 0 to 7" in done.stdout
    document = json.loads((Path(died.logs) / "out.json").read_text())
    (busy,) = [cpu for cpu in document["cpus"] if cpu["policy"]]
    assert [one["argument"] for one in busy["damaged"]] == list(range(8, 17))


def test_drgns_own_prompt(died: Result) -> None:
    done = subprocess.run(
        ["jprobe-harness", "dump", Path(died.logs).name, "--drgn"],
        input='print("HIT", prog["probe_playing"].jp.stat.hits.counter.value_())\n',
        capture_output=True, text=True, timeout=SECONDS,
        env={**os.environ, "TERM": "dumb"},
    )  # fmt: skip
    assert "HIT 1" in done.stdout, done.stderr


def test_a_dump_on_demand(kernel: Kernel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    done = subprocess.run(
        ["jprobe-harness", "repro", "--kernel", kernel.spec, "--case", "stack-9", "--variant",
         "none", "--dump", "end"],
        capture_output=True, text=True, timeout=SECONDS,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    folder, _ = logs.find("last")
    found = crash.read(folder, crash.find(folder))
    assert found.case == "stack-9"
    assert [cpu.phase for cpu in found.cpus] == ["JPROBE_IDLE"] * 2
    # The guest's memory is 256 MiB, most of it zero.
    status = (folder / "vmcore-1").stat()
    assert status.st_blocks * 512 < status.st_size / 2


def test_a_run_without_a_dump(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="left no dump"):
        crash.find(tmp_path)


def test_a_full_disk(kernel: Kernel, tmp_path: Path) -> None:
    full_disk = tmp_path / "full"
    full_disk.mkdir()
    done = subprocess.run(
        [*under_a_small_disk(full_disk, "24m"), "jprobe-harness", "repro", "--kernel", kernel.spec,
         "--case", "stack-9", "--variant", "none", "--dump", "end"],
        env={**os.environ, "XDG_STATE_HOME": str(full_disk)},
        capture_output=True, text=True, timeout=SECONDS,
    )  # fmt: skip
    text = done.stdout + done.stderr
    assert done.returncode == Exit.INFRASTRUCTURE, text
    assert "The dump cannot be written" in text
    assert "Make room in" in text
