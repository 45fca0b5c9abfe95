# SPDX-License-Identifier: GPL-2.0-only
"""Builds of a tree: once, whole or not at all, and with their first error."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from harness.errors import ConfigError, InfrastructureError, UnfitTree
from harness.host import cache
from harness.kernel import kconfig, local, tree, treebuild
from harness.kernel.kernel import Engine
from harness.kernel.native import Carried
from harness.kernel.options import Options
from harness.kernel.treebuild import Built, HowToBuild, Need
from harness.toolchain.compiler import Compiler
from tests.unit.standin import EARLY, OLD_LAYOUT, jprobe_tree, source_tree

# Any compiler will do for a stand-in.
COMPILER = Compiler("gcc")


@pytest.fixture(autouse=True)
def own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr(treebuild, "NEEDS", ())


def build(path: Path, **options: str) -> Built:
    required = {"CONFIG_KPROBES": "y", **options}
    opened = tree.opened(path)
    return treebuild.build(opened, HowToBuild(COMPILER, required))


def kept() -> list[Path]:
    return [path for path in (cache.root() / "trees").iterdir() if path.suffix != ".lock"]


def test_a_tree_is_built_once(tmp_path: Path) -> None:
    path = source_tree(tmp_path / "linux", "6.1")
    built = build(path)
    assert built.release == "6.1.0"
    assert build(path) == built
    assert len((built.output / "builds").read_text().splitlines()) == 1
    assert build(path, CONFIG_SMP="y") != built
    assert not (path / ".config").exists()


def test_two_runs_that_build_the_same_tree(tmp_path: Path) -> None:
    path = source_tree(tmp_path / "linux", "6.1")
    builds: list[Built] = []
    threads = [threading.Thread(target=lambda: builds.append(build(path))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(builds) == 4
    assert len(set(builds)) == 1
    assert len((builds[0].output / "builds").read_text().splitlines()) == 1


def test_a_build_that_fails_in_the_middle(tmp_path: Path) -> None:
    path = source_tree(tmp_path / "linux", "6.1")
    (path / "kernel/kprobes.c").write_text("#error broken on purpose\n")
    with pytest.raises(UnfitTree, match=r"kprobes\.c:1:2: error: #error broken") as caught:
        build(path)
    assert "a later one" not in caught.value.sentence
    log = Path(caught.value.hint.removeprefix("Log: "))
    assert "a later one" in log.read_text()
    assert not kept()


def test_a_tree_that_cannot_be_configured(tmp_path: Path) -> None:
    path = source_tree(tmp_path / "linux", "6.1")
    (path / "broken-kconfig").touch()
    with pytest.raises(UnfitTree, match=r"cannot be configured: .*"):
        build(path)
    assert not kept()


@pytest.mark.parametrize("file", ["broken-kconfig", "kernel/kprobes.c"])
def test_a_build_that_this_machine_breaks(tmp_path: Path, file: str) -> None:
    path = source_tree(tmp_path / "linux", "6.1")
    makefile = (path / "Makefile").read_text()
    for quoted in ("Kconfig:7: syntax error", "kernel/kprobes.c:1:2: error: #error broken"):
        makefile = makefile.replace(quoted, "fixdep: No space left on device")
    (path / "Makefile").write_text(makefile)
    (path / file).write_text("#error broken on purpose\n")
    with pytest.raises(InfrastructureError, match="linux failed, as a disk is full"):
        build(path)
    assert not kept()


def test_a_compiler_that_compiles_nothing_is_not_held_against_a_tree(tmp_path: Path) -> None:
    path = source_tree(tmp_path / "linux", "6.1")
    (path / "kernel/kprobes.c").write_text("#error broken on purpose\n")
    compiler = tmp_path / "broken-gcc"
    compiler.write_text("#!/bin/sh\nexit 1\n")
    compiler.chmod(0o755)
    opened = tree.opened(path)
    with pytest.raises(InfrastructureError, match="broken-gcc does not compile an empty file"):
        treebuild.build(opened, HowToBuild(Compiler(str(compiler)), {}))


def test_flags_that_the_compiler_does_not_take_are_no_fault_of_a_trees(tmp_path: Path) -> None:
    path = source_tree(tmp_path / "linux", "6.1")
    (path / "kernel/kprobes.c").write_text("#error broken on purpose\n")
    opened = tree.opened(path)
    given = ["W=1", "KCFLAGS=-O1 -fno-such-flag"]
    with pytest.raises(ConfigError, match="--make: gcc does not take -O1 -fno-such-flag"):
        treebuild.build(opened, HowToBuild(COMPILER, {}, given=given))


def test_a_log_folder_that_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    (tmp_path / "file").touch()
    with pytest.raises(InfrastructureError, match=r"The build's log cannot be written: .*file"):
        build(source_tree(tmp_path / "linux", "6.1"))
    assert not kept()


def test_make_gets_what_it_is_given_and_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("KBUILD_OUTPUT", "LLVM", "LOCALVERSION", "MAKEFLAGS", "W"):
        monkeypatch.setenv(name, "s")
    path = source_tree(tmp_path / "linux", "4.8")
    with (path / "Makefile").open("a") as makefile:
        makefile.write("\techo '$(KBUILD_OUTPUT)$(LLVM)$(LOCALVERSION)$(W)' >$(O)/variables\n")
        makefile.write("\techo '$(KCFLAGS)' >$(O)/flags\n")
    opened = tree.opened(path)

    def reported(*given: str) -> tuple[str, str, str]:
        built = treebuild.build(opened, HowToBuild(COMPILER, {}, given=given))
        reported, flags = (
            (built.output / name).read_text().strip() for name in ("variables", "flags")
        )
        return built.key, reported, flags

    plain = reported()
    assert plain[1:] == ("", "-Wno-error -fno-pie")
    given = reported("LOCALVERSION=-mine", "KCFLAGS=-Og")
    assert given[1:] == ("-mine", "-Wno-error -fno-pie -Og")
    assert plain[0] != given[0]
    monkeypatch.setenv("LOCALVERSION", "-theirs")
    assert reported() == plain


def test_an_option_that_kconfig_drops(tmp_path: Path) -> None:
    path = source_tree(tmp_path / "linux", "6.1")
    with pytest.raises(UnfitTree, match="dropped CONFIG_UNKNOWN=y"):
        build(path, CONFIG_UNKNOWN="y")
    assert not kept()


def with_defconfigs(path: Path) -> Path:
    source_tree(path, "6.1")
    configs = path / "arch/arm64/configs"
    for name in ("defconfig", "board_defconfig", "vendor/phone_defconfig"):
        (configs / name).parent.mkdir(parents=True, exist_ok=True)
        (configs / name).write_text(
            f'CONFIG_NAME="{name}"\nCONFIG_DRIVER=m\n# CONFIG_KPROBES is not set\n'
        )
    return path


def built_from(path: Path, defconfig: str, **required: str) -> Built:
    return treebuild.build(
        tree.opened(path),
        HowToBuild(COMPILER, {"CONFIG_KPROBES": "y", **required}, defconfig=defconfig),
    )


@pytest.mark.parametrize("name", ["defconfig", "vendor/phone_defconfig"])
def test_a_trees_own_configuration(tmp_path: Path, name: str) -> None:
    path = with_defconfigs(tmp_path / "linux")
    built = built_from(path, name)
    options = kconfig.parse(built.config.read_text())
    assert options["CONFIG_NAME"] == f'"{name}"'
    # What the guest needs is added, and modules, which are not loaded, are left out.
    assert options["CONFIG_KPROBES"] == "y"
    assert options["CONFIG_DRIVER"] == "n"
    asked = kconfig.parse(built_from(path, name, CONFIG_DRIVER="m").config.read_text())
    assert asked["CONFIG_DRIVER"] == "m"
    assert len({built.key, build(path).key, built_from(path, "board_defconfig").key}) == 3


def test_an_option_that_a_trees_own_configuration_drops(tmp_path: Path) -> None:
    path = with_defconfigs(tmp_path / "linux")
    with pytest.raises(UnfitTree, match="dropped CONFIG_UNKNOWN=y"):
        built_from(path, "defconfig", CONFIG_UNKNOWN="y")


def test_a_configuration_that_a_tree_does_not_have(tmp_path: Path) -> None:
    opened = tree.opened(with_defconfigs(tmp_path / "linux"))
    for name in ("", "defconfig", "vendor/phone_defconfig"):
        treebuild.check_defconfig(opened, name)
    with pytest.raises(ConfigError, match=r"The nearest: vendor/phone_defconfig") as caught:
        treebuild.check_defconfig(opened, "vendor/phoned_config")
    assert "board_defconfig" in caught.value.hint


def test_what_no_build_would_mend(tmp_path: Path) -> None:
    path = source_tree(tmp_path / "linux", "6.1")
    asked = {"CONFIG_ARM64": "y", "CONFIG_MODULES": "y", "CONFIG_KPROBES": "y"}
    asked |= {"CONFIG_VMAP_STACK": "y", "CONFIG_DEBUG_FS": "y", "CONFIG_CPU_BIG_ENDIAN": "y"}
    # It would not build either, but building is not tried.
    (path / "kernel/kprobes.c").write_text("#error broken on purpose\n")
    options = Options(fragments=(tmp_path / "mine.config",))
    options.fragments[0].write_text(kconfig.merged([asked]))
    with pytest.raises(ConfigError, match="CONFIG_CPU_BIG_ENDIAN"):
        local.from_tree("mine", tree.opened(path), Path("busybox"), options)
    assert not kept()


def test_going_on_from_another_build(tmp_path: Path) -> None:
    path = source_tree(tmp_path / "linux", "6.1")
    first = build(path)
    opened = tree.opened(path)
    second = treebuild.build(
        opened,
        HowToBuild(COMPILER, {"CONFIG_KPROBES": "y"}),
        added={"folder/added": "text"},
        start=first.output,
    )
    assert second != first
    assert (second.output / "folder/added").read_text() == "text"
    assert not (first.output / "folder").exists()
    assert len((second.output / "builds").read_text().splitlines()) == 2


def test_needs_are_found_before_the_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = source_tree(tmp_path / "linux", "6.1")
    needs = (
        Need("no-such-program", "some-package"),
        Need("no/such-header.h", "some-dev", ("CONFIG_KPROBES",)),
        Need("not-asked-for", "other-package", ("CONFIG_OTHER",)),
        Need("flex", "flex", shipped="Kconfig"),
        Need("make", "make"),
        Need("stdio.h", "libc6-dev"),
    )
    monkeypatch.setattr(treebuild, "NEEDS", needs)
    opened = tree.opened(path)
    with pytest.raises(InfrastructureError, match="no-such-program is missing") as caught:
        treebuild.check_needs(opened, {})
    assert caught.value.hint.endswith("install -y some-package")
    with pytest.raises(InfrastructureError, match=r"no-such-program, no/such-header\.h"):
        treebuild.check_needs(opened, {"CONFIG_KPROBES": "y"})


@pytest.mark.parametrize(("version", "flag"), [("4.8", "gcc -fcommon"), ("6.1", "gcc")])
def test_flags_that_old_trees_need(tmp_path: Path, version: str, flag: str) -> None:
    opened = tree.opened(source_tree(tmp_path / "linux", version))
    found = treebuild.variables(opened, COMPILER)
    assert found["HOSTCC"] == flag
    assert ("KCFLAGS" in found) == (version == "4.8")


def test_a_gcc_that_is_newer_than_the_tree(tmp_path: Path) -> None:
    path = source_tree(tmp_path / "linux", "4.1")
    for version in (4, 5):
        header = path / f"include/linux/compiler-gcc{version}.h"
        header.parent.mkdir(parents=True, exist_ok=True)
        header.touch()
    built = build(path)
    (added,) = (built.output / "include/linux").iterdir()
    assert added.read_text() == "#include <linux/compiler-gcc5.h>\n"
    assert int(added.name.removeprefix("compiler-gcc").removesuffix(".h")) > 5
    assert not (build(source_tree(tmp_path / "new", "6.1")).output / "include/linux").exists()


@pytest.mark.parametrize("carried", ["any", "own"])
def test_a_tree_with_jprobes_is_taken_whatever_its_version(
    tmp_path: Path, carried: Carried
) -> None:
    """Such a tree is a vendor's backport, with the layout and the headers of its version."""
    size = "#define MAX_STACK_SIZE 128\n"
    path = jprobe_tree(tmp_path / "linux", "4.1", EARLY, file=OLD_LAYOUT, header=size)
    (path / "include/linux/compiler-gcc5.h").touch()
    fragment = tmp_path / "mine.config"
    fragment.write_text("CONFIG_ARM64=y\n")
    options = Options(compiler=COMPILER, fragments=(fragment,), carried=carried)
    kernel = local.from_tree("mine", tree.opened(path), Path("busybox"), options)
    assert (kernel.engine, kernel.version, kernel.release) == (Engine.NATIVE, "4.1", "4.1.0")
    assert kernel.jprobes.endswith(f"128 bytes of the stack, in the older {OLD_LAYOUT}")
    assert "-fno-pie" in kernel.kbuild.flags
    header = kernel.kbuild.folder / "include/generated/jprobe_policy.h"
    assert header.exists() == (carried == "any")


@pytest.mark.parametrize(
    ("known", "asked", "expected"),
    [
        (["DEBUG_INFO"], "CONFIG_A=y", {"CONFIG_DEBUG_INFO"}),
        (
            ["DEBUG_INFO", "DEBUG_INFO_DWARF_TOOLCHAIN_DEFAULT"],
            "CONFIG_A=y",
            {"CONFIG_DEBUG_INFO", "CONFIG_DEBUG_INFO_DWARF_TOOLCHAIN_DEFAULT"},
        ),
        # The user's choice is another.
        (["DEBUG_INFO"], "CONFIG_DEBUG_INFO_DWARF5=y", {"CONFIG_DEBUG_INFO_DWARF5"}),
    ],
)
def test_a_tree_whose_types_are_asked_for(
    tmp_path: Path, known: list[str], asked: str, expected: set[str]
) -> None:
    path = source_tree(tmp_path / "linux", "6.1")
    (path / "lib").mkdir(exist_ok=True)
    (path / "lib/Kconfig.debug").write_text("".join(f"config {name}\n" for name in known))
    fragment = tmp_path / "mine.config"
    fragment.write_text(f"CONFIG_ARM64=y\n{asked}\n")
    options = Options(compiler=COMPILER, fragments=(fragment,), debug_info=True)
    kernel = local.from_tree("mine", tree.opened(path), Path("busybox"), options)
    found = kconfig.parse(kernel.config.read_text())
    assert {name for name in found if name.startswith("CONFIG_DEBUG_INFO")} == expected


def test_fragments(tmp_path: Path) -> None:
    text = 'CONFIG_A=y\n# CONFIG_B is not set\n# words\nCONFIG_C="text"\n'
    assert kconfig.parse(text) == {"CONFIG_A": "y", "CONFIG_B": "n", "CONFIG_C": '"text"'}
    merged = kconfig.merged([{"CONFIG_A": "y", "CONFIG_B": "y"}, {"CONFIG_B": "n"}])
    assert kconfig.parse(merged) == {"CONFIG_A": "y", "CONFIG_B": "n"}
    empty = tmp_path / "empty.config"
    empty.write_text("# nothing\n")
    with pytest.raises(ConfigError, match="no option is set"):
        kconfig.read(empty)
    config = tmp_path / "config"
    config.write_text("CONFIG_A=y\n")
    kconfig.check({"CONFIG_A": "y", "CONFIG_B": "n"}, config)
    with pytest.raises(UnfitTree, match="CONFIG_A=n"):
        kconfig.check({"CONFIG_A": "n"}, config)


@pytest.mark.parametrize("place", ["a, b:c", "50%#'$x\"é"])
def test_a_tree_is_built_wherever_it_and_the_cache_lie(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    path = source_tree(tmp_path / "linux", "6.1")
    first = build(path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / place / "cache"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / place / "state"))
    (tmp_path / place).mkdir()
    odd = path.rename(tmp_path / place / "my linux")
    built = build(odd)
    assert built.key == first.key
    assert built.release == "6.1.0"
    assert (built.output / "builds").read_text().strip() != str(odd)
