# SPDX-License-Identifier: GPL-2.0-only
"""The user's own kernels: an image, an output folder, a source tree."""

from __future__ import annotations

import functools
import re
from pathlib import Path

from harness.archive import plain
from harness.errors import ConfigError, UnfitTree
from harness.host import cache, given
from harness.kernel import kconfig, native, tree, treebuild
from harness.kernel.changes import at_revision, changed, check, check_revision
from harness.kernel.image import FILE_MAX, banner_release, raw_image
from harness.kernel.kernel import Engine, Kbuild, Kernel, check_config, numbers
from harness.kernel.native import Carried
from harness.kernel.options import Options
from harness.kernel.treebuild import HowToBuild
from harness.model.policy import NO_CHANGES

# The largest file that a build reads: with every option on, Module.symvers has 2 MiB.
_PART_MAX = 64 * given.MIB
_RELEASE_MAX = 4096
# The first release that the port is made for.
PORT_FIRST = (5, 6)
# The options of one of which a kernel of today takes its debug information.
_CHOICE = re.compile(r"CONFIG_DEBUG_INFO_(NONE|DWARF\w+)")


def _release(build: Path) -> str:
    """Return what uname -r will print for a build's kernel, or for the kernel of headers."""
    file = build / "include/config/kernel.release"
    if file.is_file():
        return given.read(file, _RELEASE_MAX).decode(errors="replace").strip()
    # A distribution's headers may have it only in this file.
    header = build / "include/generated/utsrelease.h"
    match = re.search(r'UTS_RELEASE "(.*)"', header.read_text()) if header.is_file() else None
    if match is None:
        raise ConfigError(
            f"Modules cannot be built in {build}: it has no include/config/kernel.release.",
            "Give the folder that the kernel was built in, or its headers.",
        )
    return match[1]


def _check_module_build(build: Path) -> None:
    for name in (".config", "Module.symvers", "Makefile"):
        if not (build / name).is_file():
            raise ConfigError(
                f"Modules cannot be built in {build}: it has no {name}.",
                "Run 'make modules' there first, or give another folder.",
            )
        given.check(build / name, _PART_MAX)


def check_image(spec: str, image: Path, build: Path | None) -> tuple[Path, str]:
    """
    Return the folder in which modules for an image are built, and its release.

    Raises ConfigError.
    """
    if build is None:
        raise ConfigError(
            f"No modules can be built for {image} alone.",
            "Give --modules-build the folder that it was built in, or its headers.",
        )
    given.check(image, FILE_MAX)
    _check_module_build(build)
    plain.check(build)
    release = _release(build)
    if numbers(release) < PORT_FIRST:
        raise ConfigError(
            f"{image} is Linux {release}, which the port of jprobes is not for.",
            "If it has jprobes of its own (v4.8 to v4.14), give its source tree.",
        )
    check_config(spec, build / ".config", Engine.PORT)
    return build, release


def from_image(spec: str, image: Path, build: Path | None, busybox: Path) -> Kernel:
    """Return the kernel of an image, for which modules are built in `build`."""
    build, release = check_image(spec, image, build)
    key = cache.content(image)

    def make(folder: Path) -> None:
        (folder / "Image.raw").write_bytes(raw_image(image, folder))

    raw = cache.entry("images", key, make) / "Image.raw"
    banner = banner_release(raw.read_bytes())
    if banner and banner != release:
        raise ConfigError(
            f"{image} is of {banner}, but {build} builds modules for {release}.",
            "Give the folder that this very image was built in.",
        )
    symvers = (build / "Module.symvers").read_bytes()
    return Kernel(
        spec=spec,
        release=release,
        version=release,
        image=raw,
        config=build / ".config",
        modules=build,
        busybox=busybox,
        key=cache.digest(key, symvers, (build / ".config").read_bytes()),
        entries=(raw.parent,),
        kbuild=Kbuild(folder=build, home=build),
    )


def from_output(spec: str, build: Path, busybox: Path) -> Kernel:
    """Return the kernel that was built in a folder."""
    return from_image(spec, built_image(build), build, busybox)


def built_image(build: Path) -> Path:
    """Return the image that was built in a folder; raise ConfigError."""
    for name in ("arch/arm64/boot/Image", "vmlinux"):
        if (build / name).is_file():
            return build / name
    raise ConfigError(
        f"{build} has no arch/arm64/boot/Image and no vmlinux.", "Finish the build there first."
    )


def opened(path: Path, revision: str) -> tree.Tree:
    """Return a source tree as it is, or with `revision` a copy from a git repository."""
    return at_revision(path, revision) if revision else tree.opened(path)


def check_tree(spec: str, path: Path, revision: str, options: Options) -> None:
    """Raise ConfigError for errors that can be found before all of a tree is read."""
    fragments(options)
    check(options.changes)
    if revision:
        check_revision(path, revision)
        return
    tree.check(path)
    treebuild.check_defconfig(tree.Tree(path, ""), options.defconfig)
    if options.changes == NO_CHANGES:
        _jprobes(spec, tree.Tree(path, ""), options)


def fragments(options: Options) -> dict[str, str]:
    """Return the options of the user's fragments, of which later ones win; raise ConfigError."""
    wanted: dict[str, str] = {}
    for fragment in options.fragments:
        own = str(fragment) in treebuild.OWN_FRAGMENTS and not fragment.exists()
        wanted |= treebuild.own_fragment(str(fragment)) if own else kconfig.read(fragment)
    return wanted


def _debug_info(source: tree.Tree) -> dict[str, str]:
    """Return the options of a tree that have its types described; it has not all of them."""
    path = source.path / "lib/Kconfig.debug"
    text = given.read(path, _PART_MAX).decode(errors="replace") if path.is_file() else ""
    known = {f"CONFIG_{name}" for name in re.findall(r"^config (\w+)", text, re.MULTILINE)}
    wanted = treebuild.own_fragment("debug-info")
    return {name: value for name, value in wanted.items() if name in known}


def _jprobes(spec: str, source: tree.Tree, options: Options) -> native.Jprobes | None:
    """
    Return a tree's own jprobes, or None where the port is used.

    Raises UnfitTree where the port does not work either, and ConfigError where an option needs
    a tree with jprobes of its own.
    """
    jprobes = native.detect(source)
    if not jprobes:
        _check_port(source)
    if not jprobes and options.carried != "any":
        raise ConfigError(
            f"{spec} has no jprobes of its own, whose policy could be built in or left alone.",
            "Leave --exact, --set, and the variants 'tree' and 'patch:FILE' to trees that have.",
        )
    return jprobes


def from_tree(spec: str, source: tree.Tree, busybox: Path, options: Options) -> Kernel:
    """
    Build a source tree with the user's changes, and return the kernel.

    A tree with jprobes of its own is built with the policies that `options` asks for.
    """
    carried, compiler = options.carried, options.compiler
    treebuild.check_defconfig(source, options.defconfig)
    source = changed(source, options.changes)
    jprobes = _jprobes(spec, source, options)
    engine = Engine.NATIVE if jprobes else Engine.PORT
    required = treebuild.own_fragment("base") | treebuild.own_fragment(engine.value)
    asked = fragments(options)
    if options.debug_info and not any(map(_CHOICE.fullmatch, asked)):
        required |= _debug_info(source)
    required |= asked
    if jprobes and carried != "own":
        source = native.with_policies(source, jprobes)
    else:
        source = _buildable(source)
    how = HowToBuild(
        compiler=compiler,
        required=required,
        defconfig=options.defconfig,
        given=options.make,
        check=functools.partial(check_config, spec, engine=engine),
    )
    if jprobes and carried != "own":
        built = _with_policy(source, how, carried)
    else:
        built = treebuild.build(source, how)
    values = treebuild.variables(source, compiler)
    kbuild = Kbuild(
        folder=built.output,
        home=built.output,
        # The output folder's own Makefile names the tree that it was built from first.
        make=(
            "-C",
            str(plain.name(source.path)),
            f"O={plain.name(built.output)}",
            f"HOSTCC={values['HOSTCC']}",
        ),
        flags=tuple(values.get("KCFLAGS", "").split()),
    )
    return Kernel(
        spec=spec,
        release=built.release,
        version=".".join(map(str, source.version)),
        image=built.image,
        config=built.config,
        modules=built.output,
        busybox=busybox,
        key=built.key,
        engine=engine,
        jprobes=jprobes.state if jprobes else "",
        own_policy=jprobes.policy if jprobes and carried == "own" else None,
        kbuild=kbuild,
        entries=(*cache.containing(built.output), *cache.containing(source.path)),
    )


def _check_port(source: tree.Tree) -> None:
    """Raise UnfitTree for a tree that the port cannot work with."""
    version = ".".join(map(str, source.version))
    if source.version < native.FIRST:
        raise UnfitTree(
            f"{source.path} is Linux {version}, too old: it has no jprobes for arm64.",
            "They came with v4.8; an older tree needs a backport of them.",
        )
    if source.version < PORT_FIRST:
        raise UnfitTree(
            f"{source.path} is Linux {version}: too new for its own jprobes, which v4.15"
            " removed, and too old for the port of them.",
            "Give a tree of v4.8 to v4.14, or of v5.6 and later.",
        )


def _with_policy(source: tree.Tree, how: HowToBuild, carried: Carried) -> treebuild.Built:
    """Build an image with all policies, and from its folder one with a single policy if asked."""
    built = treebuild.build(source, how, added={native.POLICY_HEADER: native.policy_header("any")})
    if carried == "any":
        return built
    header = {native.POLICY_HEADER: native.policy_header(carried)}
    return treebuild.build(source, how, added=header, start=built.output)


def _buildable(source: tree.Tree) -> tree.Tree:
    """Return the tree, or a copy of it where the tree cannot be built from directly."""
    if source.clean and plain.is_plain(source.path):
        return source
    return tree.cached(source.digest, lambda folder: tree.copy(source, folder))
