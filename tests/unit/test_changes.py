# SPDX-License-Identifier: GPL-2.0-only
"""Trees at a revision, with patches and with macros set: always copies."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from harness import cache
from harness.errors import ConfigError, Exit, InfrastructureError, UnfitTree
from harness.kernel import native, tree
from harness.kernel.changes import at_revision, changed
from harness.kernel.tree import Tree
from harness.model.policy import NO_CHANGES, Changes, Policy, Rule
from tests.unit.standin import COPYING, EARLY, OLD_LAYOUT, REMOVED, jprobe_tree, source_tree

HEADER = "#define MAX_STACK_SIZE 128\n"


def ignore(what: str, percent: float) -> None:
    """No progress is shown in a test."""


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def git(path: Path, *words: str) -> str:
    me = ["-c", "user.name=me", "-c", "user.email=me@localhost"]
    command = ["git", "-C", str(path), *me, *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def source(tmp_path: Path) -> Tree:
    path = jprobe_tree(tmp_path / "linux", "4.8", COPYING, header=HEADER)
    return tree.opened(path, ignore)


PATCH = """\
--- a/arch/arm64/include/asm/kprobes.h
+++ b/arch/arm64/include/asm/kprobes.h
@@ -1 +1 @@
-#define MAX_STACK_SIZE 128
+#define MAX_STACK_SIZE 64
"""


def patch(tmp_path: Path, text: str) -> Changes:
    file = tmp_path / "my.patch"
    file.write_text(text)
    return Changes(patches=(str(file),))


def test_a_patch_is_applied_to_a_copy(tmp_path: Path, source: Tree) -> None:
    patched = changed(source, patch(tmp_path, PATCH), ignore)
    jprobes = native.detect(patched)
    assert jprobes
    assert jprobes.max_stack_size == "64"
    header = source.path / "arch/arm64/include/asm/kprobes.h"
    assert header.read_text() == HEADER
    assert patched.digest != source.digest
    assert changed(source, NO_CHANGES, ignore) is source


def test_a_series_is_applied_in_order(tmp_path: Path, source: Tree) -> None:
    first = patch(tmp_path, PATCH)
    second = tmp_path / "second.patch"
    second.write_text(PATCH.replace("SIZE 64", "SIZE 32").replace("SIZE 128", "SIZE 64"))
    both = Changes(patches=(*first.patches, str(second)))
    jprobes = native.detect(changed(source, both, ignore))
    assert jprobes
    assert jprobes.max_stack_size == "32"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (PATCH.replace("128", "256"), r"hunk at line 1 of arch/arm64/include/asm/kprobes\.h"),
        (PATCH.replace("asm/kprobes.h", "asm/none.h"), "No such file"),
        ("no patch\n", "does not apply: No valid patches"),
    ],
)
def test_a_patch_that_does_not_apply(tmp_path: Path, source: Tree, text: str, message: str) -> None:
    with pytest.raises(UnfitTree, match=rf"my\.patch.*{message}") as caught:
        changed(source, patch(tmp_path, text), ignore)
    assert caught.value.exit_status is Exit.UNJUDGED
    assert not [path for path in (cache.root() / "sources").iterdir() if path.is_dir()]


def test_a_patch_that_is_not_there(source: Tree) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        changed(source, Changes(patches=("no-such.patch",)), ignore)


@pytest.mark.parametrize(
    ("value", "policy"),
    [("256", Policy(Rule.FIXED, 256)), ("THREAD_SIZE", Policy(Rule.THREAD_SIZE))],
)
def test_the_reviews_one_line_change(source: Tree, value: str, policy: Policy) -> None:
    made = changed(source, Changes(settings=(f"MAX_STACK_SIZE={value}",)), ignore)
    jprobes = native.detect(made)
    assert jprobes
    assert jprobes.policy == policy


def test_nothing_to_set(tmp_path: Path, source: Tree) -> None:
    removed = tree.opened(jprobe_tree(tmp_path / "removed", "4.8", REMOVED), ignore)
    with pytest.raises(UnfitTree, match="does not define MAX_STACK_SIZE"):
        changed(removed, Changes(settings=("MAX_STACK_SIZE=64",)), ignore)
    with pytest.raises(ConfigError, match="sets nothing"):
        changed(source, Changes(settings=("MAX_STACK_SIZE",)), ignore)


def test_what_a_trees_own_jprobes_do(tmp_path: Path) -> None:
    """As v15 was posted, the copy on the interrupt stack is limited by that stack's size."""
    text = EARLY.replace(
        "min((unsigned long)MAX_STACK_SIZE, stack_end() - (sp))",
        "(on_irq(sp) ? \\\n\tmin((unsigned long)IRQ_STACK_SIZE, \\\n\tirq_end() - (sp)) : \\\n"
        "\tmin((unsigned long)MAX_STACK_SIZE, stack_end() - (sp)))",
    )
    path = jprobe_tree(tmp_path / "posted", "4.7", text, file=OLD_LAYOUT, header=HEADER)
    jprobes = native.detect(tree.opened(path, ignore))
    assert jprobes
    assert jprobes.policy == Policy(Rule.V15, 128)
    early = jprobe_tree(tmp_path / "early", "4.4", EARLY, file=OLD_LAYOUT, header=HEADER)
    jprobes = native.detect(tree.opened(early, ignore))
    assert jprobes
    assert jprobes.policy == Policy(Rule.FIXED, 128)
    removed = jprobe_tree(tmp_path / "removed", "4.8", REMOVED)
    jprobes = native.detect(tree.opened(removed, ignore))
    assert jprobes
    assert jprobes.policy == Policy(Rule.NONE)


def test_a_size_that_says_nothing_here(source: Tree) -> None:
    made = changed(source, Changes(settings=("MAX_STACK_SIZE=sizeof(struct thing)",)), ignore)
    jprobes = native.detect(made)
    assert jprobes
    assert jprobes.policy is None


def test_a_tree_at_a_revision(tmp_path: Path) -> None:
    path = source_tree(tmp_path / "linux", "4.8")
    git(path, "init", "--quiet", "--initial-branch=main")
    git(path, "add", "-A")
    git(path, "commit", "--quiet", "-m", "first")
    (path / "kernel/kprobes.c").write_text("/* second */\n")
    git(path, "commit", "--quiet", "-a", "-m", "second")
    first = at_revision(path, "HEAD~1", ignore)
    assert (first.path / "kernel/kprobes.c").read_text() == "/* stand-in */\n"
    assert at_revision(path, "main", ignore) != first
    assert at_revision(path / ".git", "main~1", ignore) == first
    with pytest.raises(ConfigError, match=r"has no revision 'v9\.9'"):
        at_revision(path, "v9.9", ignore)
    with pytest.raises(ConfigError, match="has no revision"):
        at_revision(tmp_path, "HEAD", ignore)


def test_a_repository_is_the_one_that_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("mine", "other"):
        path = source_tree(tmp_path / name, "4.8")
        (path / "kernel/kprobes.c").write_text(f"/* {name} */\n")
        git(path, "init", "--quiet")
        git(path, "add", "-A")
        git(path, "commit", "--quiet", "-m", "first")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "other/.git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(tmp_path / "other"))
    found = at_revision(tmp_path / "mine", "HEAD", ignore)
    assert (found.path / "kernel/kprobes.c").read_text() == "/* mine */\n"


def test_git_that_fails_says_nothing_of_a_patch(
    tmp_path: Path, source: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in = tmp_path / "bin/git"
    stand_in.parent.mkdir()
    stand_in.write_text(
        "#!/bin/sh\necho 'fatal: unable to write file a: No space left on device' >&2\nexit 128\n"
    )
    stand_in.chmod(0o755)
    monkeypatch.setenv("PATH", f"{stand_in.parent}:{os.environ['PATH']}")
    with pytest.raises(InfrastructureError, match="git failed, as a disk is full"):
        changed(source, patch(tmp_path, PATCH), ignore)
