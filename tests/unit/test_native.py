# SPDX-License-Identifier: GPL-2.0-only
"""Jprobes of a tree's own: their state, and the semantic patch, on stand-ins."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from harness.errors import InfrastructureError, UnfitTree
from harness.kernel import local, native, tree
from harness.kernel.native import Jprobes
from harness.model.policy import Policy, Rule
from tests.unit.standin import (
    COPYING,
    EARLY,
    NEW_LAYOUT,
    OLD_LAYOUT,
    REMOVED,
    jprobe_tree,
    source_tree,
)

SIZE = "#define MAX_INSN_SIZE 1\n#define MAX_STACK_SIZE\t\t128\t/* bytes */\n"


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def opened(path: Path) -> tree.Tree:
    return tree.opened(path)


STATES = [
    ("4.8", REMOVED, NEW_LAYOUT, "", Jprobes(Path(NEW_LAYOUT), False, None)),
    ("4.8", COPYING, NEW_LAYOUT, SIZE, Jprobes(Path(NEW_LAYOUT), True, "128")),
    ("4.4", EARLY, OLD_LAYOUT, SIZE, Jprobes(Path(OLD_LAYOUT), True, "128")),
    # A header that kept the number does not make a tree copy.
    ("4.14", REMOVED, NEW_LAYOUT, SIZE, Jprobes(Path(NEW_LAYOUT), False, "128")),
]
IDS = ["removed", "copying", "early", "header-only"]


@pytest.mark.parametrize(("version", "kprobes", "file", "header", "found"), STATES, ids=IDS)
def test_the_state_is_detected(
    tmp_path: Path, version: str, kprobes: str, file: str, header: str, found: Jprobes
) -> None:
    path = jprobe_tree(tmp_path / "linux", version, kprobes, file=file, header=header)
    assert native.detect(opened(path)) == found


def test_the_state_in_words() -> None:
    assert "nothing" in Jprobes(Path(NEW_LAYOUT), False, None).state
    assert "MAX_STACK_SIZE = 128 bytes" in Jprobes(Path(NEW_LAYOUT), True, "128").state
    assert f"in the older {OLD_LAYOUT}" in Jprobes(Path(OLD_LAYOUT), True, "64").state


def test_jprobes_that_are_there_in_name_only(tmp_path: Path) -> None:
    path = jprobe_tree(tmp_path / "linux", "4.15", REMOVED)
    header = path / "include/linux/kprobes.h"
    header.write_text("static inline int register_jprobe(struct jprobe *p)\n{\n\treturn -1;\n}\n")
    assert native.detect(opened(path)) is None
    (path / NEW_LAYOUT).unlink()
    header.write_text("int register_jprobe(struct jprobe *p);\n")
    assert native.detect(opened(path)) is None


@pytest.mark.parametrize(("version", "message"), [("4.4", "too old"), ("4.15", "too new")])
def test_a_tree_for_neither_engine(tmp_path: Path, version: str, message: str) -> None:
    with pytest.raises(UnfitTree, match=message):
        local._check_port(opened(source_tree(tmp_path / "linux", version)))


def test_a_tree_for_the_port(tmp_path: Path) -> None:
    local._check_port(opened(source_tree(tmp_path / "linux", "5.6")))


@pytest.mark.parametrize(("version", "kprobes", "file", "header", "found"), STATES, ids=IDS)
def test_one_semantic_patch_serves_every_state(
    tmp_path: Path, version: str, kprobes: str, file: str, header: str, found: Jprobes
) -> None:
    assert shutil.which("spatch"), "run: jprobe-harness doctor --install --extra"
    path = jprobe_tree(tmp_path / "linux", version, kprobes, file=file, header=header)
    source = opened(path)
    patched = native.with_policies(source, found)
    text = (patched.path / file).read_text()
    assert '#include "jprobe_stack.h"' in text
    assert "ctl->jprobes_stack" not in text
    hit, left = text.split("longjmp_break_handler", 1)
    # The registers first, then the stack; a skipped hook is no jprobe's hit.
    saved = hit.index("jprobe_saved_regs")
    assert saved < hit.index("if (!jprobe_stack_save(regs))") < hit.index("preempt_disable")
    assert left.index("jprobe_stack_restore(regs);") < left.index("preempt_enable")
    assert (path / file).read_text() == kprobes
    for name in ("jprobe_stack.c", "jprobe_stack.h", "native_stack.h", "stack_policy.h"):
        assert (patched.path / file).with_name(name).exists()
        assert not (path / file).with_name(name).exists()
    assert "jprobe_stack.o" in (patched.path / file).with_name("Makefile").read_text()
    assert native.with_policies(source, found) == patched


@pytest.mark.parametrize(
    ("old", "new", "function"),
    [
        ("ctl->jprobe_saved_regs = *regs;", "keep(ctl, regs);", "setjmp_pre_handler"),
        ("*regs = ctl->jprobe_saved_regs;", "put_back(ctl, regs);", "longjmp_break_handler"),
    ],
)
def test_jprobes_that_the_patch_does_not_know(
    tmp_path: Path, old: str, new: str, function: str
) -> None:
    path = jprobe_tree(tmp_path / "linux", "4.8", REMOVED.replace(old, new))
    source = opened(path)
    found = native.detect(source)
    assert found
    with pytest.raises(UnfitTree, match=rf"{function}\(\) of kprobes\.c is not like any"):
        native.with_policies(source, found)


@pytest.mark.parametrize(
    ("does", "sentence"),
    [
        ("echo 'Fatal error: out of memory' >&2; exit 2", "spatch failed, as there is no memory"),
        ("kill -KILL $$", "spatch was killed by SIGKILL"),
        ("exec no-such-interpreter", "spatch failed, as a program could not be run"),
    ],
)
def test_spatch_that_fails_says_nothing_of_a_tree(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, does: str, sentence: str
) -> None:
    stand_in = tmp_path / "bin/spatch"
    stand_in.parent.mkdir()
    stand_in.write_text(f"#!/bin/sh\n{does}\n")
    stand_in.chmod(0o755)
    monkeypatch.setenv("PATH", f"{stand_in.parent}:{os.environ['PATH']}")
    source = opened(jprobe_tree(tmp_path / "linux", "4.8", REMOVED))
    found = native.detect(source)
    assert found
    with pytest.raises(InfrastructureError, match=sentence):
        native.with_policies(source, found)


def test_what_an_image_carries() -> None:
    assert "JPROBE_POLICY" not in native.policy_header("any")
    exact = native.policy_header(Policy(Rule.FIXED, 128))
    assert exact == "#define JPROBE_POLICY { .kind = STACK_POLICY_FIXED, .size = 128 }\n"


def test_every_rule_has_its_name_in_the_header() -> None:
    from harness import resources

    header = (resources.kernel_modules() / "stack-policy/stack_policy.h").read_text()
    for rule in Rule:
        assert f"STACK_POLICY_{rule.name}," in header


def test_a_tree_in_a_path_that_the_shell_would_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = tmp_path / "a, b:c%'$x"
    (odd / "tmp").mkdir(parents=True)
    monkeypatch.setenv("XDG_CACHE_HOME", str(odd / "cache"))
    monkeypatch.setenv("TMPDIR", str(odd / "tmp"))
    source = opened(jprobe_tree(odd / "my linux", "4.8", COPYING, header=SIZE))
    found = native.detect(source)
    assert found
    patched = native.with_policies(source, found)
    assert "jprobe_stack_save(" in (patched.path / NEW_LAYOUT).read_text()
    assert not [path for path in (patched.path / NEW_LAYOUT).parent.iterdir() if path.is_dir()
                and path.name != "linux"]  # fmt: skip
