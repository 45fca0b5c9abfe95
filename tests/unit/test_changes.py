# SPDX-License-Identifier: GPL-2.0-only
"""Trees at a revision, with patches and with macros set: always copies."""

from __future__ import annotations

import base64
import os
import quopri
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from harness.errors import ConfigError, Exit, InfrastructureError, UnfitTree
from harness.host import cache
from harness.kernel import native, tree
from harness.kernel.changes import at_revision, changed
from harness.kernel.options import DEFAULTS
from harness.kernel.spec import Request
from harness.kernel.tree import Tree
from harness.model.policy import NO_CHANGES, Changes, Policy, Rule
from harness.settings import Settings
from tests import conftest
from tests.unit.standin import COPYING, EARLY, OLD_LAYOUT, REMOVED, jprobe_tree, pipe, source_tree

HEADER = "#define MAX_STACK_SIZE 128\n"


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def git(path: Path, *words: str) -> str:
    me = ["-c", "user.name=me", "-c", "user.email=me@localhost"]
    command = ["git", "-C", str(path), *me, *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_the_repository_that_a_hook_names_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs, ours = tmp_path / "theirs", tmp_path / "ours"
    ours.mkdir()
    monkeypatch.setenv("GIT_DIR", str(theirs))
    conftest.pytest_configure()
    git(ours, "init", "--quiet")
    assert (ours / ".git").is_dir()
    assert not theirs.exists()


@pytest.fixture
def source(tmp_path: Path) -> Tree:
    path = jprobe_tree(tmp_path / "linux", "4.8", COPYING, header=HEADER)
    return tree.opened(path)


PATCH = """\
--- a/arch/arm64/include/asm/kprobes.h
+++ b/arch/arm64/include/asm/kprobes.h
@@ -1 +1 @@
-#define MAX_STACK_SIZE 128
+#define MAX_STACK_SIZE 64
"""


def patch(tmp_path: Path, text: str | bytes) -> Changes:
    # Each has a name of its own, as each file is read once.
    file = Path(tempfile.mkdtemp(dir=tmp_path), "my.patch")
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return Changes(patches=(str(file),))


def test_a_patch_is_applied_to_a_copy(tmp_path: Path, source: Tree) -> None:
    patched = changed(source, patch(tmp_path, PATCH))
    jprobes = native.detect(patched)
    assert jprobes
    assert jprobes.max_stack_size == "64"
    header = source.path / "arch/arm64/include/asm/kprobes.h"
    assert header.read_text() == HEADER
    assert patched.digest != source.digest
    assert changed(source, NO_CHANGES) is source


def test_a_series_is_applied_in_order(tmp_path: Path, source: Tree) -> None:
    first = patch(tmp_path, PATCH)
    second = tmp_path / "second.patch"
    second.write_text(PATCH.replace("SIZE 64", "SIZE 32").replace("SIZE 128", "SIZE 64"))
    both = Changes(patches=(*first.patches, str(second)))
    jprobes = native.detect(changed(source, both))
    assert jprobes
    assert jprobes.max_stack_size == "32"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (PATCH.replace("128", "256"), r"hunk at line 1 of arch/arm64/include/asm/kprobes\.h"),
        (PATCH.replace("asm/kprobes.h", "asm/none.h"), "No such file"),
    ],
)
def test_a_patch_that_does_not_apply(tmp_path: Path, source: Tree, text: str, message: str) -> None:
    with pytest.raises(UnfitTree, match=rf"my\.patch.*{message}") as caught:
        changed(source, patch(tmp_path, text))
    assert caught.value.exit_status is Exit.UNJUDGED
    assert not [path for path in (cache.root() / "sources").iterdir() if path.is_dir()]


def test_a_patch_that_is_not_there(source: Tree) -> None:
    with pytest.raises(ConfigError, match=r"no-such\.patch: cannot be read: No such file"):
        changed(source, Changes(patches=("no-such.patch",)))


def test_a_patch_that_is_none(tmp_path: Path, source: Tree) -> None:
    with pytest.raises(ConfigError, match=r"my\.patch is not a patch"):
        changed(source, patch(tmp_path, "prose\n"))


def test_a_patch_comes_through_a_pipe(tmp_path: Path, source: Tree) -> None:
    """As with --patch <(git diff), for more than one image."""
    piped = Changes(patches=(str(pipe(tmp_path, PATCH)),))
    first = changed(source, piped)
    again = changed(source, Changes(piped.patches, ("MAX_STACK_SIZE=32",)))
    assert [(made.path / "arch/arm64/include/asm/kprobes.h").read_text() for made in (first, again)
            ] == ["#define MAX_STACK_SIZE 64\n", "#define MAX_STACK_SIZE 32\n"]  # fmt: skip
    assert not [path for path in first.path.parent.glob("[!.]*") if path != first.path]


HEAD = """\
From: =?utf-8?q?A_B=C3=A9?= <ab@example.org>
Date: Fri, 27 Nov 2026 00:00:00 +0000
Subject: [PATCH] arm64: keep less
MIME-Version: 1.0
Content-Type: text/plain; charset=utf-8
"""
# A line of the source that quoted-printable would change.
ODD = "#define MAX_STACK_SIZE (64 +=3D 0) /* \N{LATIN SMALL LETTER E WITH ACUTE} */\n"
ODD_PATCH = PATCH.replace("#define MAX_STACK_SIZE 64\n", ODD)


def mail(diff: str, encoding: str = "8bit", start: str = "") -> bytes:
    body = f"Why.\n\n---\n a file | 2 +-\n\n{diff}-- \n2.39\n".encode()
    if encoding == "quoted-printable":
        body = quopri.encodestring(body)
    elif encoding == "base64":
        body = base64.encodebytes(body)
    return f"{start}{HEAD}Content-Transfer-Encoding: {encoding}\n\n".encode() + body


START = "From 0123456789abcdef0123456789abcdef01234567 Mon Sep 17 00:00:00 2001\n"


@pytest.mark.parametrize("start", ["", START])
@pytest.mark.parametrize("line_end", [b"\n", b"\r\n"])
@pytest.mark.parametrize("encoding", ["8bit", "quoted-printable", "base64"])
def test_a_patch_as_mail(
    tmp_path: Path, source: Tree, encoding: str, line_end: bytes, start: str
) -> None:
    data = mail(ODD_PATCH, encoding, start).replace(b"\n", line_end)
    patched = changed(source, patch(tmp_path, data))
    header = patched.path / "arch/arm64/include/asm/kprobes.h"
    assert header.read_text() == ODD


def test_lines_of_a_mail_that_are_encoded_with_their_returns(tmp_path: Path, source: Tree) -> None:
    data = mail(ODD_PATCH.replace("\n", "\r\n"), "base64")
    patched = changed(source, patch(tmp_path, data))
    assert (patched.path / "arch/arm64/include/asm/kprobes.h").read_bytes() == ODD.encode()


SECOND = PATCH.replace("SIZE 64", "SIZE 32").replace("SIZE 128", "SIZE 64")


def test_a_mailbox_is_a_series(tmp_path: Path, source: Tree) -> None:
    letter = mail("", "8bit", START)
    mails = [letter, mail(PATCH, "base64", START), mail(SECOND, "quoted-printable", START)]
    jprobes = native.detect(changed(source, patch(tmp_path, b"\n".join(mails))))
    assert jprobes
    assert jprobes.max_stack_size == "32"
    with pytest.raises(
        UnfitTree, match=r"my\.patch \(2 of its 2 patches\) does not apply: its hunk"
    ):
        changed(source, patch(tmp_path, b"\n".join([mails[1], mails[1]])))
    with pytest.raises(ConfigError, match="none of its mails has one"):
        changed(source, patch(tmp_path, letter))


@pytest.mark.parametrize(
    "head",
    ["", "Index: a/file\n=====\n", "commit 0123\nAuthor: me\n\n    Subject: none\n\n",
     "From: a reviewer, who wrote\nno mail\n\n"],
)  # fmt: skip
def test_a_plain_diff_is_taken_as_it_is(tmp_path: Path, source: Tree, head: str) -> None:
    patched = changed(source, patch(tmp_path, head + ODD_PATCH))
    assert (patched.path / "arch/arm64/include/asm/kprobes.h").read_text() == ODD


@pytest.mark.parametrize(
    ("value", "policy"),
    [("256", Policy(Rule.FIXED, 256)), ("THREAD_SIZE", Policy(Rule.THREAD_SIZE))],
)
def test_the_reviews_one_line_change(source: Tree, value: str, policy: Policy) -> None:
    made = changed(source, Changes(settings=(f"MAX_STACK_SIZE={value}",)))
    jprobes = native.detect(made)
    assert jprobes
    assert jprobes.policy == policy


def test_nothing_to_set(tmp_path: Path, source: Tree) -> None:
    removed = tree.opened(jprobe_tree(tmp_path / "removed", "4.8", REMOVED))
    with pytest.raises(UnfitTree, match="does not define MAX_STACK_SIZE"):
        changed(removed, Changes(settings=("MAX_STACK_SIZE=64",)))
    with pytest.raises(ConfigError, match="sets nothing"):
        changed(source, Changes(settings=("MAX_STACK_SIZE",)))


def test_what_a_trees_own_jprobes_do(tmp_path: Path) -> None:
    """As v15 was posted, the copy on the interrupt stack is limited by that stack's size."""
    text = EARLY.replace(
        "min((unsigned long)MAX_STACK_SIZE, stack_end() - (sp))",
        "(on_irq(sp) ? \\\n\tmin((unsigned long)IRQ_STACK_SIZE, \\\n\tirq_end() - (sp)) : \\\n"
        "\tmin((unsigned long)MAX_STACK_SIZE, stack_end() - (sp)))",
    )
    path = jprobe_tree(tmp_path / "posted", "4.7", text, file=OLD_LAYOUT, header=HEADER)
    jprobes = native.detect(tree.opened(path))
    assert jprobes
    assert jprobes.policy == Policy(Rule.V15, 128)
    early = jprobe_tree(tmp_path / "early", "4.4", EARLY, file=OLD_LAYOUT, header=HEADER)
    jprobes = native.detect(tree.opened(early))
    assert jprobes
    assert jprobes.policy == Policy(Rule.FIXED, 128)
    removed = jprobe_tree(tmp_path / "removed", "4.8", REMOVED)
    jprobes = native.detect(tree.opened(removed))
    assert jprobes
    assert jprobes.policy == Policy(Rule.NONE)


def test_a_size_that_says_nothing_here(source: Tree) -> None:
    made = changed(source, Changes(settings=("MAX_STACK_SIZE=sizeof(struct thing)",)))
    jprobes = native.detect(made)
    assert jprobes
    assert jprobes.policy is None


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Return a repository with two commits on main, the first of which has a tag."""
    path = source_tree(tmp_path / "linux", "4.8")
    git(path, "init", "--quiet", "--initial-branch=main")
    git(path, "add", "-A")
    git(path, "commit", "--quiet", "-m", "first")
    git(path, "tag", "-a", "-m", "a release", "v1")
    (path / "kernel/kprobes.c").write_text("/* second */\n")
    git(path, "commit", "--quiet", "-a", "-m", "second")
    return path


@pytest.mark.parametrize(
    "revision", ["HEAD~1", "main~1", "main@{1}", "HEAD@{1}", ":/first", "v1", "v1^{}", "v1^{tree}"]
)
def test_a_tree_at_a_revision(repository: Path, revision: str) -> None:
    first = at_revision(repository, revision)
    assert (first.path / "kernel/kprobes.c").read_text() == "/* stand-in */\n"
    assert at_revision(repository, "main") != first
    if "@" not in revision:
        bare = repository.with_name("bare.git")
        git(repository, "clone", "--quiet", "--bare", str(repository), str(bare))
        assert at_revision(bare, revision) == first


@pytest.mark.parametrize(
    ("revision", "why"),
    [
        ("v9.9", "'v9.9'."),
        (":/third", "':/third'."),
        ("--all", "'--all'."),
        ("HEAD@{9}", "'HEAD@{9}': log for 'HEAD' only has 2 entries."),
        ("main@{u}", "'main@{u}': no upstream configured for branch 'main'."),
    ],
)
def test_no_such_revision(repository: Path, revision: str, why: str) -> None:
    with pytest.raises(ConfigError) as caught:
        at_revision(repository, revision)
    assert caught.value.sentence == f"{repository} has no revision {why}"


def test_git_says_itself_what_keeps_it_from_a_repository(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match="git says: not a git repository"):
        at_revision(repository.parent, "HEAD")
    # It appears to belong to another user.
    other = tmp_path / "bin/git"
    other.parent.mkdir()
    other.write_text(
        f'#!/bin/sh\nGIT_TEST_ASSUME_DIFFERENT_OWNER=1 exec {shutil.which("git")} "$@"\n'
    )
    other.chmod(0o755)
    monkeypatch.setenv("PATH", f"{other.parent}:{os.environ['PATH']}")
    with pytest.raises(ConfigError, match="git says: detected dubious ownership") as caught:
        at_revision(repository, "HEAD")
    assert f"git config --global --add safe.directory {repository}" in caught.value.hint


@pytest.fixture
def checkouts_with_crlf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Set a user's git configuration that changes what git writes and reads."""
    attributes = tmp_path / "attributes"
    attributes.write_text("* text eol=crlf\n")
    config = tmp_path / ".gitconfig"
    config.write_text(f"[core]\nautocrlf = true\neol = crlf\nattributesFile = {attributes}\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "none"))


def test_a_users_settings_change_no_content(
    repository: Path, checkouts_with_crlf: None, tmp_path: Path
) -> None:
    taken = at_revision(repository, "HEAD")
    assert (taken.path / "kernel/kprobes.c").read_bytes() == b"/* second */\n"
    git(repository, "config", "core.autocrlf", "true")
    (tmp_path / "cache").rename(tmp_path / "old")
    taken = at_revision(repository, "HEAD")
    assert (taken.path / "kernel/kprobes.c").read_bytes() == b"/* second */\n"


def test_a_users_settings_change_no_patch(
    tmp_path: Path, source: Tree, checkouts_with_crlf: None
) -> None:
    patched = changed(source, patch(tmp_path, PATCH))
    header = patched.path / "arch/arm64/include/asm/kprobes.h"
    assert header.read_bytes() == HEADER.replace("128", "64").encode()


@pytest.mark.parametrize("name", ["linux", "me@work", "linux@v4.8"])
@pytest.mark.parametrize("revision", ["HEAD", "HEAD@{1}", "main@{u}", ":/a@b.c"])
def test_where_a_path_ends_and_a_revision_begins(tmp_path: Path, name: str, revision: str) -> None:
    path = tmp_path / name
    (path / ".git").mkdir(parents=True)
    (tmp_path / name.partition("@")[0]).mkdir(exist_ok=True)
    assert request(f"{path}@{revision}").at == (path, revision)
    assert request(str(path)).at == (path, "")
    assert request(f"{tmp_path}/none@{revision}").at == (tmp_path / f"none@{revision}", "")


def request(spec: str) -> Request:
    return Request(spec, {}, Settings(), DEFAULTS)


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
    found = at_revision(tmp_path / "mine", "HEAD")
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
        changed(source, patch(tmp_path, PATCH))
