# SPDX-License-Identifier: GPL-2.0-only
"""The logs of a run."""

from __future__ import annotations

import calendar
import dataclasses
import errno
import io
import json
import os
import re
import shlex
import shutil
import time
from pathlib import Path
from typing import NoReturn

import pytest

from harness import cli
from harness.cases.catalog import Catalog
from harness.errors import ConfigError, Exit, InfrastructureError
from harness.guest import initramfs
from harness.inspect.postmortem import Recorder
from harness.modules.build import Modules
from harness.run import boot, logfile, logs, repro
from harness.run.logfile import Stamped
from harness.run.logs import Run
from harness.run.plan import plays
from harness.vm.machine import Config, Machine
from tests.unit.kernels import made_up

NOWHERE = Path("/nonexistent")


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr(logs, "version", lambda: "QEMU 0")
    return tmp_path / "state"


KERNEL = made_up(NOWHERE)


@pytest.fixture
def modules(tmp_path: Path) -> Modules:
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules/compiler").write_text("some gcc\nGNU Make 0")
    return Modules(tmp_path / "modules", "m", tmp_path)


@pytest.fixture
def run(modules: Modules) -> Run:
    return Run(KERNEL, modules)


@pytest.fixture
def booted(run: Run) -> Run:
    """With what a boot leaves."""
    made = Machine(Path("/some where/Image"))
    command = ["setpriv", "qemu", "a b"]
    with run.boot(made, command, b"initrd") as log:
        log.play(["stack-9 none 0"])
        log.console.write(b"one\r\ntw")
        log.console.write(b"o\n")
        log.records.write(b"\xff\0")
    return run


def test_lines_are_stamped_where_they_begin() -> None:
    file = io.BytesIO()
    stamped = Stamped(file)
    for data in (b"a", b"b\r\nc\n", b"\n", b"\xff\r\x85\x0b\n", b"d"):
        stamped.write(data)
    lines = file.getvalue().split(b"\n")
    assert [re.sub(rb"^\d\d:\d\d:\d\d\.\d{3} ", b"T", line) for line in lines] == [
        b"Tab", b"Tc", b"T", b"T\xff\r\x85\x0b", b"Td",
    ]  # fmt: skip


def test_a_log_ends_where_a_guest_does_not(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logfile, "MAX", 1000)
    made = Machine(NOWHERE)
    command = ["qemu"]
    with run.boot(made, command, b"initrd") as log:
        for _ in range(100):
            log.console.write(b"noise\n" * 100)
            log.records.write(b"x" * 999)
    for name in ("console-1.log", "records-1"):
        content = (run.folder / name).read_bytes()
        assert content.count(logfile.CUT.encode()) == 1
        assert len(content) == 1000 + len(logfile.CUT)
    assert not run.unwritten


def test_the_debugger_is_noted_where_there_is_one(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.vm.gdb.version", lambda: "GDB 0")
    for debugs in (False, True):
        made = Machine(Path("Image"), Config(gdb=debugs))
        command: list[str] = []
        with run.boot(made, command, b"initrd"):
            # Before the run has ended, which may never come.
            noted = json.loads((run.folder / "run.json").read_text())["versions"]
        assert ("gdb-multiarch" in noted) == debugs
        assert set(noted) >= {"make", "Python", "paramiko", "pexpect", "pygdbmi", "qemu.qmp"}


def test_what_a_boot_leaves(booted: Run) -> None:
    folder = booted.folder
    plan = initramfs.plan(["stack-9 none 0"])
    assert (folder / "initrd-1").read_bytes() == b"initrd" + plan
    assert (folder / "plan-1").read_text() == "stack-9 none 0\n"
    assert (folder / "records-1").read_bytes() == b"\xff\0"
    assert len((folder / "console-1.log").read_text().splitlines()) == 2
    script = folder / "qemu-1.sh"
    assert script.stat().st_mode & 0o100
    *_, comment, command = script.read_text().splitlines()
    assert comment.endswith("setpriv qemu 'a b'")
    words = shlex.split(command)
    assert words[words.index("-kernel") + 1] == "/some where/Image"
    assert words[words.index("-initrd") + 1] == str(folder / "initrd-1")


def test_a_command_with_lines_in_it_runs_none_of_them(run: Run) -> None:
    odd = "Image\ntouch taken; 'x'\n"
    made = Machine(Path(odd))
    command = ["qemu", "-kernel", odd]
    with run.boot(made, command, b"initrd"):
        pass
    *comments, left = _commands(run.folder / "qemu-1.sh")
    assert comments == []
    assert odd in shlex.split(left)


def _commands(script: Path) -> list[str]:
    """Return a script's commands, as a shell splits them, without comments."""
    commands, text = [], script.read_text()
    while text:
        line, _, rest = text.partition("\n")
        if line.startswith("#"):
            text = rest
            continue
        # Quotes may go on in further lines.
        commands.append(text.rstrip())
        break
    return commands


def test_runs_are_listed_newest_first(booted: Run, capsys: pytest.CaptureFixture[str]) -> None:
    booted.finish(planned=3, agree=2, status=1)
    older = booted.folder.with_name("20000101-000000-1-old")
    older.mkdir()
    about = json.loads((booted.folder / "run.json").read_text())
    (older / "run.json").write_text(json.dumps({**about, "ended": None}))
    booted.folder.with_name("29990101-no-run").mkdir()
    assert [folder for folder, _ in logs.runs()] == [booted.folder, older]
    assert cli.main(["runs"]) == Exit.AGREES
    reported = capsys.readouterr().out
    assert "2 of 3" in reported
    assert cli.main(["runs", "--json", "-", "--keep", "old"]) == Exit.AGREES
    rows = json.loads(capsys.readouterr().out)["runs"]
    assert [(row["name"], row["kept"]) for row in rows] == [
        (booted.folder.name, False), (older.name, True),
    ]  # fmt: skip


def test_a_run_is_found_by_a_part_of_its_name(run: Run) -> None:
    assert logs.find("last")[0] == run.folder
    assert logs.find(run.folder.name)[0] == run.folder
    assert logs.find(run.folder.name[-6:])[0] == run.folder
    with pytest.raises(ConfigError, match="There is no run 'nothing'"):
        logs.find("nothing")
    other = run.folder.with_name(f"{run.folder.name}x")
    other.mkdir()
    (other / "run.json").write_bytes((run.folder / "run.json").read_bytes())
    assert logs.find(run.folder.name)[0] == run.folder
    with pytest.raises(ConfigError, match="in the name of 2 runs"):
        logs.find(run.folder.name[:-1])


def test_what_a_log_shows(booted: Run, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert cli.main(["log"]) == Exit.AGREES
    reported = capfdbinary.readouterr().out
    for name in (b"QEMU 0", b"some gcc", b"make: GNU Make 0", b"Python: 3.", b"qemu.qmp: 0."):
        assert name in reported
    assert b"some:kernel" in reported
    assert b" two\n" in reported
    assert cli.main(["log", "last", "--part", "records"]) == Exit.AGREES
    assert capfdbinary.readouterr().out == "\N{REPLACEMENT CHARACTER}\\x00\n".encode()
    assert cli.main(["log", "last", "--part", "plan"]) == Exit.AGREES
    assert capfdbinary.readouterr().out == b"stack-9 none 0\n"
    assert cli.main(["log", "--part", "gdb"]) == Exit.USAGE


def test_old_runs_go_but_those_that_are_kept(run: Run) -> None:
    runs = run.folder.parent
    old = [runs / f"20000101-{number:06}-999999999-x" for number in range(logs.KEPT + 3)]
    for folder in old:
        folder.mkdir()
    logs.keep(old[0])
    # None says when it began, so it is known by its own time.
    for age, folder in enumerate(old):
        os.utime(folder, (age, age))
    run.finish()
    # With the newer run, KEPT runs are left.
    assert [folder.exists() for folder in old[:6]] == [True, *3 * [False], True, True]
    assert run.folder.exists()


def test_the_newest_run_is_the_newest_in_any_time_zone(
    modules: Modules, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A traveller's clock shows an earlier hour than that of the run before."""
    made = []
    for zone in ("UTC-12", "UTC+11"):
        monkeypatch.setenv("TZ", zone)
        time.tzset()
        made.append(Run(KERNEL, modules).folder)
    monkeypatch.undo()
    time.tzset()
    assert abs(_stamp(made[0]) - _stamp(made[1])) < 60


def _stamp(folder: Path) -> int:
    """Return the seconds since the epoch that a folder's name stands for."""
    return calendar.timegm(time.strptime(folder.name[:15], "%Y%m%d-%H%M%S"))


def test_runs_are_sorted_by_when_they_began_not_by_their_names(modules: Modules) -> None:
    folders = [Run(KERNEL, modules).folder for _ in range(logs.KEPT + 2)]
    # As if the names were in local time, of zones from east to west.
    renamed = [
        folder.rename(folder.with_name(f"2026-{99 - number}-999999999-x"))
        for number, folder in enumerate(folders)
    ]
    assert logs.find("last")[0] == renamed[-1]
    assert [folder for folder, _ in logs.runs()] == renamed[::-1]
    logs.prune()
    assert [folder.exists() for folder in renamed[:4]] == [False, False, True, True]


def ended(run: Run) -> Path:
    """Return the folder of a run, as if its process had ended."""
    words = run.folder.name.split("-")
    return run.folder.rename(run.folder.with_name(f"{'-'.join(words[:2])}-999999999-{words[3]}"))


def test_the_logs_of_a_nightly_run_stay_as_long_as_it(
    modules: Modules, monkeypatch: pytest.MonkeyPatch
) -> None:
    nights = [ended(Run(KERNEL, modules)) for _ in range(3)]
    plain = ended(Run(KERNEL, modules))
    logs.hold(f"{nights[0]}, {nights[1]}, /elsewhere/run")
    logs.hold(str(nights[2]))
    for _ in range(logs.KEPT):
        Run(KERNEL, modules).finish()
    assert [folder.exists() for folder in (*nights, plain)] == [True, True, True, False]
    logs.keep(nights[1])
    for folder in nights[:2]:
        logs.release(folder)
    assert [folder.exists() for folder in nights] == [False, True, True]


def test_the_logs_of_nightly_runs_have_a_bound(
    modules: Modules, monkeypatch: pytest.MonkeyPatch
) -> None:
    nights = [ended(Run(KERNEL, modules)) for _ in range(3)]
    monkeypatch.setattr(logs, "NIGHTS_BYTES", 250_000)
    for folder in nights:
        (folder / "console-1.log").write_bytes(bytes(100_000))
        logs.hold(str(folder))
    assert [folder.exists() for folder in nights] == [False, True, True]


def test_a_folder_that_cannot_be_made(state: Path) -> None:
    state.write_text("a file")
    with pytest.raises(InfrastructureError, match="logs cannot be written"):
        logs._new_folder()


def test_what_is_next() -> None:
    reported = "See: jprobe-harness log one; jprobe-harness log two"
    assert logs.see("/a/one, /b/two") == reported
    assert logs.see("/a, b/one, /a, b/two") == reported


def test_a_kernel_that_no_dump_could_be_read_of(tmp_path: Path, modules: Modules) -> None:
    (tmp_path / "config").write_text("CONFIG_KPROBES=y\n")
    kernel = dataclasses.replace(KERNEL, config=tmp_path / "config")
    with pytest.raises(ConfigError, match="without CONFIG_KEXEC"):
        repro.run(kernel, modules, [], observer=Recorder(at_end=False))


def test_a_run_notes_what_make_was_given(modules: Modules) -> None:
    given = dataclasses.replace(KERNEL, variables=("W=1",))
    assert Run(given, modules).about.make == ["W=1"]
    _, about = logs.find(logs.LAST)
    assert about.make == ["W=1"]


def test_a_boot_without_room_is_tried_again_and_ends_in_a_result(
    modules: Modules, monkeypatch: pytest.MonkeyPatch
) -> None:
    boots = 0

    def machine(*arguments: object) -> NoReturn:
        nonlocal boots
        boots += 1
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(boot, "machine", machine)
    monkeypatch.setattr(initramfs, "cached", lambda *arguments: (b"", None))
    catalog = Catalog()
    plan = plays(catalog.select_variants(["none"]), catalog.select_cases(["stack-9"]))
    result = repro.run(KERNEL, modules, plan)
    assert boots == 2
    assert result.exit_status is Exit.INFRASTRUCTURE
    assert result.harness_errors[0].startswith("No space left on device.\nMake room")
    assert not result.kernel_errors


def test_a_log_that_cannot_be_written_is_reported_and_stops_nothing(run: Run) -> None:
    full = Path("/dev/full")
    run.folder.joinpath("console-1.log").symlink_to(full)
    run.folder.joinpath("records-1").symlink_to(full)
    made = Machine(NOWHERE)
    command = ["qemu"]
    with run.boot(made, command, b"initrd") as log:
        for _ in range(3):
            log.console.write(b"one\n")
            log.console.flush()
        log.records.write(b"x" * 100_000)
    assert run.unwritten == [
        f"The log {run.folder}/{name} cannot be written: No space left on device."
        for name in ("console-1.log", "records-1")
    ]


def test_logs_whose_folder_is_gone(run: Run) -> None:
    shutil.rmtree(run.folder)
    made = Machine(NOWHERE)
    command = ["qemu"]
    with run.boot(made, command, b"initrd") as log:
        log.records.write(b"x")
    run.finish()
    names = [Path(text.split()[2]).name for text in run.unwritten]
    assert names == ["run.json", "initrd-1", "qemu-1.sh", "console-1.log", "records-1", "plan-1"]


def test_a_run_that_was_killed_is_not_one_that_got_its_number(run: Run) -> None:
    assert logs.is_running(run.folder, run.about)
    other = run.folder.with_name(f"20000101-000000-{os.getpid()}-other")
    shutil.copytree(run.folder, other)
    assert not logs.is_running(other, run.about)
    run.finish()
    assert not logs.is_running(run.folder, run.about)


def test_the_versions_of_libraries_are_known_until_another_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("harness.host.inventory.SETTLED_SECONDS", -1)
    packages = tmp_path / "site-packages"
    packages.mkdir()
    monkeypatch.setattr("sys.path", [str(tmp_path), str(packages)])
    said = iter("aaaabbbb")
    monkeypatch.setattr("importlib.metadata.version", lambda name: next(said))
    assert logs._versions.__wrapped__()["paramiko"] == "a"
    assert logs._versions.__wrapped__()["paramiko"] == "a"
    (packages / "paramiko-2.dist-info").mkdir()
    assert logs._versions.__wrapped__()["paramiko"] == "b"
