# SPDX-License-Identifier: GPL-2.0-only
"""Checks of kernels, patches and compilers before anything is fetched or built."""

from __future__ import annotations

import platform
import shutil
import subprocess
from pathlib import Path
from typing import NoReturn

import pytest

from harness import cli
from harness.cases.catalog import Catalog
from harness.errors import ConfigError, Exit, InfrastructureError
from harness.kernel import debian, local, spec, treebuild
from harness.kernel.options import DEFAULTS, Options
from harness.model.policy import Changes
from harness.run import job
from harness.settings import Settings
from harness.toolchain import compiler
from tests.unit.nights import MATRIX, written
from tests.unit.standin import COPYING, jprobe_tree, source_tree
from tests.unit.test_patches import DIFF

# Git's hash of an empty tree.
EMPTY = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"


@pytest.fixture(autouse=True)
def nothing_is_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail the test if a check fetches or builds, or if anything is played after it failed."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr(shutil, "which", lambda name: None if "99" in name else __file__)

    def done(*arguments: object, **options: object) -> NoReturn:
        raise AssertionError("it was done")

    for place, name in (
        (debian, "resolve"), (treebuild, "build"), (local, "opened"), (job, "judge"),
        (job, "prepare"),
    ):  # fmt: skip
        monkeypatch.setattr(place, name, done)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a tree with jprobes of its own, in a repository, with a patch beside it."""
    folder = tmp_path_factory.mktemp("tree")
    path = jprobe_tree(folder / "linux", "4.8", COPYING)
    git = ["git", "-C", str(path), "-c", "user.name=me", "-c", "user.email=me@localhost"]
    for words in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "-m", "one"]):
        subprocess.run([*git, *words], check=True)
    (folder / "my.patch").write_text(DIFF)
    return path


def port_tree(path: Path, version: str) -> Path:
    """Make a tree without jprobes, and return its path."""
    source_tree(path, version)
    header = path / "include/linux/kprobes.h"
    header.parent.mkdir(parents=True, exist_ok=True)
    header.touch()
    return path


def check(name: object, options: Options = DEFAULTS) -> None:
    spec.check(str(name), Catalog(), Settings(), options=options)


def test_what_can_be(tree: Path) -> None:
    check("debian:6.1")
    check("debian:6.1/rt")
    check(tree)
    check(f"{tree}@HEAD")
    changes = Changes((str(tree.with_name("my.patch")),), ("MAX_STACK_SIZE=64",))
    check(tree, Options(changes=changes, carried="own", fragments=(Path("bench"),)))


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("debian:9.9", DEFAULTS, r"There is no kernel 'debian:9\.9'\. The nearest"),
        ("debian:6.1/big", DEFAULTS, "no flavour 'big'"),
        ("no/such", DEFAULTS, "neither a kernel image nor"),
        ("{tree}@v9", DEFAULTS, "no revision 'v9'"),
        (
            f"{{tree}}@{EMPTY}",
            DEFAULTS,
            "is not a kernel's source tree",
        ),
        ("{image}", DEFAULTS, "No modules can be built for"),
        ("{image}", Options(modules_build=Path("no/such")), "--modules-build: there is no dir"),
        ("{image}", Options(modules_build=Path("/")), r"it has no \.config"),
        ("{built}", DEFAULTS, "no arch/arm64/boot/Image"),
        ("debian:6.1", Options(modules_build=Path("no/such")), "--modules-build: there is no dir"),
        ("debian:6.1", Options(fragments=(Path("bench"),)), "is not a source tree"),
        ("debian:6.1", Options(changes=Changes(patches=("x",))), "is not a source tree"),
        ("debian:6.1", Options(changes=Changes(settings=("X=1",))), "is not a source tree"),
        ("{image}", Options(carried="own"), "is not a source tree"),
        ("{tree}", Options(fragments=(Path("no/such"),)), "no/such: cannot be read"),
        ("{tree}", Options(changes=Changes(patches=("no/such",))), "no/such: cannot be read"),
        ("{tree}", Options(changes=Changes(patches=(__file__,))), "is not a patch"),
        ("{tree}@HEAD", Options(changes=Changes(patches=(__file__,))), "is not a patch"),
        ("{tree}", Options(changes=Changes(settings=("X",))), "'X' sets nothing"),
        ("{port}", Options(carried="own"), "has no jprobes of its own"),
        ("{tree}", Options(compiler=compiler.named("gcc-99")), "gcc-99 is not installed"),
        ("{tree}", Options(compiler=compiler.named("/no/gcc-99")), "gcc-99 is not installed"),
    ],
)
def test_what_cannot_be(
    tree: Path, tmp_path: Path, name: str, options: Options, message: str
) -> None:
    image = tmp_path / "Image"
    image.touch()
    built = tmp_path / "built"
    built.mkdir()
    for file in (".config", "Makefile"):
        (built / file).touch()
    port = port_tree(tmp_path / "port", "6.1")
    given = name.format(tree=tree, image=image, built=built, port=port)
    with pytest.raises(ConfigError, match=message):
        check(given, options)


def test_what_a_tree_is_unfit_for_is_no_fault_of_the_request(tmp_path: Path) -> None:
    """A bisection meets trees without jprobes, and skips them."""
    check(port_tree(tmp_path / "linux", "4.15"), Options(carried="own"))


@pytest.mark.parametrize(("codename", "refused"), [("bookworm", True), ("other", False)])
def test_a_compiler_of_another_suite(
    monkeypatch: pytest.MonkeyPatch, codename: str, refused: bool
) -> None:
    """A build root may bring a compiler that this machine does not have."""
    release = {"VERSION_CODENAME": codename}
    monkeypatch.setattr(platform, "freedesktop_os_release", lambda: release)
    options = Options(compiler=compiler.named("gcc-99"))
    if refused:
        with pytest.raises(ConfigError, match="gcc-99 is not installed"):
            check("debian:6.1", options)
    else:
        check("debian:6.1", options)


def test_the_default_compiler_is_ours_to_have(monkeypatch: pytest.MonkeyPatch, tree: Path) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(InfrastructureError, match="aarch64-linux-gnu-gcc is not installed"):
        check(tree)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--kernel", "debian:6.1", "--kernel", "debian:9.9"], "no kernel 'debian:9.9'"),
        (["--kernel", "{tree}", "--kernel", "debian:6.1", "--set", "X=1"], "debian:6.1 is not a"),
        (["--kernel", "debian:6.1", "--patch", "{patch}"], "debian:6.1 is not a source tree"),
        (["--kernel", "debian:6.1", "--variant", "tree"], "debian:6.1 is not a source tree"),
        (["--kernel", "debian:6.1", "--exact"], "debian:6.1 is not a source tree"),
        (["--kernel", "{tree}", "--patch", "no.patch"], "no.patch: cannot be read"),
        (["--kernel", "{tree}", "--variant", "patch:no.patch"], "no.patch: cannot be read"),
        (["--kernel", "{tree}", "--set", "X"], "'X' sets nothing"),
        (["--kernel", "{tree}", "--kernel", "debian:6.1", "--patch", "{patch}"], "one kernel"),
        (["--kernel", "{tree}", "--shell", "--kernel", "debian:6.1"], "Only one guest"),
        (["--kernel", "{tree}", "--cc", "gcc-99"], "gcc-99 is not installed"),
        (["--cc", "tcc"], "There is no compiler 'tcc'"),
        (["--kernel", "debian:6.1", "--kernel", "{tree}", "--expect", "no"], "no variant 'no'"),
        (["--modules-build", "no/such"], "there is no directory no/such"),
        (["--share", "/"], "Give --shell too"),
        (["--shell", "--share", "no/such"], "no/such cannot be shared"),
        (["--gdb", "--vmlinux", "no/such"], "there is no file no/such"),
        (["--gdb"], "A debugger is for one play"),
        (["--case-dir", "no/such"], "no/such: no such directory"),
    ],
)
def test_repro_finds_it_before_the_first_kernel(
    tree: Path, words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [word.format(tree=tree, patch=tree.with_name("my.patch")) for word in words]
    assert cli.main(["repro", *given]) == Exit.USAGE
    assert message in capsys.readouterr().err
    assert cli.main(["repro", "--bisect", *given]) == 128


@pytest.mark.parametrize("command", ["fuzz", "layout"])
def test_other_commands_too(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    for words, message in (
        (["--kernel", "/etc/passwd", "--cc", "gcc"], "No modules can be built for"),
        (["--cc", "/no/gcc-99", "--kernel", "debian:5.10/nope"], "no flavour"),
        (["--variant", "no", "--kernel", "debian:6.1"], "There is no variant 'no'"),
    ):
        assert cli.main([command, *words]) == Exit.USAGE
        assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (MATRIX.replace("6.1", "9.9"), "no kernel 'debian:9.9'"),
        (MATRIX.replace("debian:6.1", "debian:6.1, no/such"), "no/such is neither"),
        (MATRIX + "compilers: [gcc, tcc]\n", "no compiler 'tcc'"),
        (MATRIX.replace("debian:6.1", "{tree}") + "compilers: [gcc-99]\n", "is not installed"),
        (MATRIX.replace("none", "patch:no.patch"), "debian:6.1 is not a source tree"),
        (MATRIX.replace("debian:6.1", "{tree}").replace("none", "patch:no.patch"), "no.patch: can"),
        (MATRIX.replace("debian:6.1", "{tree}") + "kconfig: [no/such]\n", "no/such: cannot be"),
    ],
)
def test_a_matrix_is_checked_before_its_first_unit(
    tree: Path, tmp_path: Path, text: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file = written(tmp_path, text.replace("{tree}", str(tree)))
    store = tmp_path / "store.sqlite"
    assert cli.main(["nightly", str(file), "--store", f"sqlite:///{store}"]) == Exit.USAGE
    error = capsys.readouterr().err
    assert f"jprobe-harness: {file}: " in error
    assert message in error
    # No nightly run was begun.
    assert not store.exists()


def test_a_store_that_is_named_by_nothing(tmp_path: Path) -> None:
    """If a script passes an empty variable, it does not mean the user's own store."""
    file = written(tmp_path, MATRIX)
    for words in (["nightly", str(file)], ["report"], ["history", "nights"]):
        assert cli.main([*words, "--store", ""]) == Exit.USAGE
