# SPDX-License-Identifier: GPL-2.0-only
"""A guest that stays up and does one thing after another."""

from __future__ import annotations

from contextlib import ExitStack
from types import TracebackType

from harness.guest import initramfs
from harness.guest.protocol import Ran, Record
from harness.kernel.kernel import Kernel
from harness.kernel.modules import Modules
from harness.model.case import Case
from harness.model.policy import Variant
from harness.run import logs
from harness.run.plan import Outcome, Play
from harness.run.repro import judge_record
from harness.run.session import DEFAULT_DEADLINES, Deadlines, Session
from harness.vm.machine import DEFAULT_CONFIG, Config, Machine


class Guest:
    """
    Boots on entry and is gone on exit.

    Methods raise KernelDied, KernelHung or TestHung for the kernel's fault.
    """

    def __init__(
        self,
        kernel: Kernel,
        modules: Modules,
        config: Config = DEFAULT_CONFIG,
        deadlines: Deadlines = DEFAULT_DEADLINES,
    ) -> None:
        self.kernel = kernel
        self.modules = modules
        self._config = config
        self._deadlines = deadlines
        self._resources = ExitStack()

    def __enter__(self) -> Guest:
        with ExitStack() as resources:
            initrd, channel = initramfs.cached_minimal(
                self.kernel, self.modules.files, self.modules.key
            )
            self.logs = logs.new_folder()
            machine = resources.enter_context(Machine(self.kernel.image, initrd, self._config))
            log = resources.enter_context(open(self.logs / "console-1.log", "w"))
            self.session = Session(machine, channel, self._deadlines, log=log)
            self._await(self._deadlines.boot)
            self._resources = resources.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._resources.close()

    def _await(self, seconds: float) -> Record:
        records = self.session.wait(seconds)
        if not records:
            self.session.fail("The guest ended.")
        return records[0]

    def play(self, variant: Variant, case: Case) -> Outcome:
        """Play a case under a variant and judge it."""
        play = Play(variant, case)
        splats = len(self.session.console.watcher.splats)
        self.session.send(f"play {play.line}")
        record = self._await(self._deadlines.play)
        return judge_record(play, record, self.session.console.watcher.splats[splats:])

    def run(self, command: str) -> Ran:
        """Run a command line of the guest's shell (busybox): status and output."""
        if "\n" in command:
            raise ValueError("one line at a time")
        self.session.send(f"run {command}")
        record = self._await(self._deadlines.play)
        assert isinstance(record, Ran), record
        return record
