# SPDX-License-Identifier: GPL-2.0-only
"""The variables that a user passes to make."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness import cli
from harness.cases.catalog import Catalog
from harness.cli import main
from harness.commands.options import kernel_options
from harness.errors import ConfigError, Exit
from harness.kernel import spec
from harness.kernel.kernel import Kernel
from harness.kernel.spec import Request
from harness.settings import Settings
from harness.toolchain.make import checked, words
from tests.unit.kernels import made_up


def test_variables_are_taken_as_they_are() -> None:
    texts = ("V=1", "KCFLAGS=-g -Wno-error", "CFLAGS_a-b.o=-O1", "LOCALVERSION=")
    assert checked(texts) == texts


@pytest.mark.parametrize(
    ("text", "sentence", "hint"),
    [
        ("V", "'V' sets nothing", "NAME=VALUE"),
        ("=1", "'=1' sets nothing", "NAME=VALUE"),
        ("-j=1", "'-j=1' sets nothing", "NAME=VALUE"),
        ("V:=1", "'V:=1' sets nothing", "NAME=VALUE"),
        ("V=1\nall: ;", "sets nothing", "NAME=VALUE"),
        ("ARCH=x86", "ARCH is set by jprobe-harness itself, not to 'x86'", "arm64"),
        ("M=/tmp", "M is set by", "folders of its own"),
        ("O=/tmp", "O is set by", "folders of its own"),
        ("LLVM=1", "LLVM is set by", "--cc"),
        ("CC=clang", "CC is set by", "--cc"),
        ("CONFIG_KASAN=y", "CONFIG_KASAN is set by", "--kconfig"),
    ],
)
def test_what_is_not_for_a_user_to_set(text: str, sentence: str, hint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        checked([text])
    assert sentence in caught.value.sentence
    assert hint in caught.value.hint


def test_a_command_line_refuses_it_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["repro", "--make", "O=/tmp"]) == Exit.USAGE
    assert "--make: O is set by jprobe-harness itself" in capsys.readouterr().err


def test_flags_are_added_to_ours_and_other_variables_replace_them() -> None:
    ours = {"KCFLAGS": "-fno-pie", "LOCALVERSION": "", "HOSTCC": "gcc"}
    given = ("KCFLAGS=-g", "KCFLAGS=-O1", "LOCALVERSION=-mine", "W=1")
    assert words(ours, given) == [
        "KCFLAGS=-fno-pie -g -O1", "LOCALVERSION=-mine", "HOSTCC=gcc", "W=1",
    ]  # fmt: skip


def test_any_kernel_has_what_the_user_gave(monkeypatch: pytest.MonkeyPatch) -> None:
    here = Path("/nonexistent")

    class Any(spec.Debian):
        def takes(self, request: Request) -> bool:
            return True

        def resolve(self, request: Request) -> Kernel:
            return made_up(here)

    monkeypatch.setattr(spec, "SOURCES", (Any(),))
    parsed = cli.parser().parse_args(["repro", "--make", "W=1", "--make", "KCFLAGS=-g"])
    found = spec.resolve("any", Catalog(), Settings(), options=kernel_options(parsed))
    assert found.variables == ("W=1", "KCFLAGS=-g")
