# SPDX-License-Identifier: GPL-2.0-only
"""A guest that stays up: what it is lost of, and who learns of it."""

from __future__ import annotations

import select
from contextlib import AbstractContextManager

import pytest

from harness.cases.catalog import Catalog
from harness.errors import KernelDied, KernelHung, TestHung
from harness.guest.deadlines import Deadlines
from harness.guest.initramfs import Channel
from harness.inspect.guest import Guest, booted
from harness.kernel.kernel import Kernel
from harness.modules import build as modules
from harness.run.boot import Contents


def with_all_cases(
    kernel: Kernel, channel: Channel = Channel.VIRTIO
) -> AbstractContextManager[Guest]:
    built = modules.build(kernel, list(Catalog().cases.values()))
    return booted(kernel, built, deadlines=Deadlines(ping=2), contents=Contents(channel=channel))


def test_a_command_that_does_not_end_is_named(kernel: Kernel) -> None:
    with with_all_cases(kernel) as guest:
        assert guest.run("sleep 1; echo done", seconds=60).output == "done\n"
        with pytest.raises(TestHung) as hung:
            guest.run("sleep 200", seconds=1)
        assert hung.value.sentence == "'sleep 200' did not end within 1 s; the guest still answers."
        assert "seconds=" in hung.value.hint
        assert not guest.lives
        with pytest.raises(TestHung, match="'sleep 200' did not end"):
            guest.run("echo what is not heard")


def test_a_command_that_does_not_end_on_the_only_line(kernel: Kernel) -> None:
    with (
        with_all_cases(kernel, Channel.SERIAL) as guest,
        pytest.raises(KernelHung, match=r"'sleep 200' did not end within 1 s\. The guest hangs"),
    ):
        guest.run("sleep 200", seconds=1)


def test_speaking_to_a_dead_guest_raises_what_it_died_of(kernel: Kernel) -> None:
    with with_all_cases(kernel) as guest:
        guest.run("(usleep 100000; echo c >/proc/sysrq-trigger) >/dev/null 2>&1 &")
        while guest.session.look():
            assert select.select([guest.session], [], [], 60)[0]
        with pytest.raises(KernelDied, match="sysrq triggered crash"):
            guest.run("echo still there")
        assert not guest.lives
