# SPDX-License-Identifier: GPL-2.0-only
"""Files that are given: the right kind is read, any other refused before it costs anything."""

from __future__ import annotations

import functools
import gzip
import itertools
import lzma
import os
import random
import re
import socket
import struct
import subprocess
import threading
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from harness import settings
from harness.abi.declaration import DEPTH_MAX, SCALARS_MAX
from harness.cases.catalog import FILES_MAX, Catalog
from harness.cases.reader import load_case, load_variant
from harness.errors import ConfigError, Exit
from harness.host import given
from harness.host.unpacked import unpacked
from harness.host.yamlfile.document import VALUES_MAX
from harness.kernel import image, kconfig, kernel, local, patches, treebuild
from harness.kernel.kernel import read_module
from harness.kernel.tree import Tree, opened
from harness.nightly import matrix
from harness.toolchain.compiler import Compiler
from tests.unit.standin import source_tree

LARGE = 1 << 40
# The most memory that reading a refused file, or unpacking a bomb, may take.
MEMORY_MAX = 16 << 20


def fifo(path: Path) -> None:
    os.mkfifo(path)


def bound(path: Path) -> None:
    # An absolute address would be too long.
    before = Path.cwd()
    os.chdir(path.parent)
    try:
        socket.socket(socket.AF_UNIX).bind(path.name)
    finally:
        os.chdir(before)


def zeros(path: Path) -> None:
    path.symlink_to("/dev/zero")


def large(path: Path) -> None:
    path.touch()
    os.truncate(path, LARGE)


def loop(path: Path) -> None:
    path.symlink_to(path)


MAKERS: dict[Callable[[Path], None], str] = {
    fifo: "is a pipe, not a regular file",
    bound: "is a socket, not a regular file",
    zeros: "is a device, not a regular file",
    large: "is too large: .*1,099,511,627,776",
    loop: "cannot be read: Too many levels",
}


def with_image(path: Path) -> None:
    local.check_image("mine", path, path.parent)


def with_symvers(path: Path) -> None:
    for name in (".config", "Makefile"):
        (path.parent / name).touch()
    path.rename(path.parent / "Module.symvers")
    (path.parent / "Image").touch()
    local.check_image("mine", path.parent / "Image", path.parent)


def with_settings(path: Path) -> None:
    place = settings.path()
    place.parent.mkdir(parents=True)
    path.rename(place)
    settings.load()


def with_defconfig(path: Path) -> None:
    tree = source_tree(path.parent / "linux", "6.1")
    place = tree / "arch/arm64/configs/odd_defconfig"
    place.parent.mkdir(parents=True, exist_ok=True)
    path.rename(place)
    treebuild.check_defconfig(Tree(tree, ""), "odd_defconfig")


READERS: tuple[Callable[[Path], object], ...] = (
    load_case,
    load_variant,
    matrix.load,
    with_image,
    kconfig.check_file,
    read_module,
    lambda path: image.raw_image(path, path.parent),
)


@pytest.fixture(autouse=True)
def _own_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setattr(given, "PIPE_SECONDS", 0.3)


def refused(read: Callable[[], object]) -> str:
    """The sentence, which cost nothing."""
    tracemalloc.start()
    try:
        with pytest.raises(ConfigError) as caught:
            read()
        assert tracemalloc.get_traced_memory()[1] < MEMORY_MAX
    finally:
        tracemalloc.stop()
    assert caught.value.exit_status is Exit.USAGE
    return caught.value.sentence


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("read", READERS)
def test_what_is_no_file_of_its_kind(
    make: Callable[[Path], None], read: Callable[[Path], object], tmp_path: Path
) -> None:
    path = tmp_path / "odd.yaml"
    make(path)
    assert re.search(MAKERS[make], refused(lambda: read(path)))


@pytest.mark.parametrize("make", [fifo, bound, zeros, large])
@pytest.mark.parametrize("read", [with_settings, with_defconfig, with_symvers])
def test_what_is_no_file_where_one_is_looked_for(
    make: Callable[[Path], None], read: Callable[[Path], object], tmp_path: Path
) -> None:
    path = tmp_path / "odd"
    make(path)
    sentence = refused(lambda: read(path))
    assert re.search(MAKERS[make], sentence) or "it has no Module.symvers" in sentence


def stamp(path: Path) -> str:
    return Compiler(str(path)).stamp


def test_a_compiler_is_a_program(tmp_path: Path) -> None:
    for make in (fifo, large):
        path = tmp_path / f"{make.__name__}-gcc"
        make(path)
        path.chmod(0o755)
        assert re.search(MAKERS[make], refused(functools.partial(stamp, path)))


def test_a_patch_is_a_file_or_a_pipe(tmp_path: Path) -> None:
    for make in (bound, zeros, large):
        path = tmp_path / make.__name__
        make(path)
        assert re.search(MAKERS[make], refused(functools.partial(patches.diffs, str(path))))
    fifo(tmp_path / "silent")
    sentence = refused(lambda: patches.diffs(str(tmp_path / "silent")))
    assert "this pipe was not written to its end" in sentence


def test_a_pipe_is_read_to_its_end_and_no_further_than_it_may(tmp_path: Path) -> None:
    for data, late in ((b"x" * 300_000, 0.0), (b"late", 0.1), (b"", 0.1)):
        read, write = os.pipe()

        def give(write: int = write, data: bytes = data, late: float = late) -> None:
            threading.Event().wait(late)
            with open(write, "wb") as pipe:
                pipe.write(data)

        writer = threading.Thread(target=give)
        writer.start()
        # As a shell passes it for <(command).
        path = Path(f"/dev/fd/{read}")
        assert given.read(path, 1 << 20, pipe=True) == data
        writer.join()
        os.close(read)
    flood = tmp_path / "flood"
    os.mkfifo(flood)
    writing = subprocess.Popen(["sh", "-c", f"exec cat /dev/zero >{flood}"], stderr=-3)
    assert "too large" in refused(lambda: given.read(flood, 1 << 20, pipe=True))
    assert writing.wait(10)


def test_a_file_without_a_size(tmp_path: Path) -> None:
    assert given.read(Path("/proc/self/stat"), 1 << 20)
    with pytest.raises(ConfigError, match="at most 10 bytes are read, and it has more"):
        given.read(Path("/proc/self/stat"), 10)


ZEROS = bytes(64 << 20)
BOMBS = {
    "gzip": gzip.compress(ZEROS, 9),
    "xz": lzma.compress(ZEROS, preset=0),
    "zstd": zstandard.compress(ZEROS),
}


@pytest.mark.parametrize("form", BOMBS)
def test_a_bomb_does_not_go_off(form: str, tmp_path: Path) -> None:
    data = BOMBS[form]
    assert len(data) < 1 << 20
    # What is refused takes no memory, even with a large limit.
    assert "unpacks to more" in refused(lambda: unpacked(tmp_path, form, data, len(ZEROS) - 1))
    sentence = refused(lambda: unpacked(tmp_path / "Image", form, data, 1000))
    assert sentence.endswith("of such a file at most 1,000 bytes are read, and it unpacks to more.")
    assert unpacked(tmp_path / "Image", form, data, len(ZEROS)) == ZEROS
    for cut in (data[:-9], data[:40], b"", b"none"):
        with pytest.raises(ConfigError, match="is damaged"):
            unpacked(tmp_path / "Image", form, cut, len(ZEROS))


PACK: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress, "xz": lzma.compress, "zstd": zstandard.compress,
}  # fmt: skip


@pytest.mark.parametrize("form", PACK)
@pytest.mark.parametrize("size", [0, 1, 255, 65_536, 1 << 20, (1 << 20) + 1, 3_000_000])
def test_what_is_unpacked_is_what_was_packed(form: str, size: int, tmp_path: Path) -> None:
    chance = random.Random(size)
    for data in (chance.randbytes(size), (chance.randbytes(100) * (size // 100 + 1))[:size]):
        packed = PACK[form](data)
        assert unpacked(tmp_path, form, packed + b"trailer", size) == data


@pytest.mark.parametrize("form", ["gzip", "xzkern", "zstd22", None])
def test_an_image_is_no_bomb(
    form: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image, "SIZE_MAX", 4 << 20)
    data = BOMBS["gzip"]
    if form:
        payload = BOMBS[{"xzkern": "xz", "zstd22": "zstd"}.get(form, form)]
        head = struct.pack("<4s4sII8s32s", b"MZ", b"zimg", 64, len(payload), b"", form.encode())
        data = head.ljust(64, b"\0") + payload
    (tmp_path / "Image").write_bytes(data)
    assert "unpacks to more" in refused(lambda: image.raw_image(tmp_path / "Image", tmp_path))


def test_a_module_is_no_bomb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel, "_MODULE_MAX", 1 << 20)
    (tmp_path / "a.ko.xz").write_bytes(BOMBS["xz"])
    assert "unpacks to more" in refused(lambda: read_module(tmp_path / "a.ko.xz"))


def test_a_vmlinux_whose_parts_are_far_apart(tmp_path: Path) -> None:
    """What objcopy makes of such a file has holes of a terabyte."""
    script = "SECTIONS { .a 0x1000 : { *(.text) } .b 0x10000000000 : { *(.data) } }"
    (tmp_path / "far.ld").write_text(script)
    (tmp_path / "far.s").write_text(".text\n.word 1\n.data\n.word 2\n")
    cross = "aarch64-linux-gnu-"
    for words in ((f"{cross}as", "far.s", "-o", "far.o"),
                  (f"{cross}ld", "-T", "far.ld", "far.o", "-o", "vmlinux")):  # fmt: skip
        subprocess.run(words, cwd=tmp_path, check=True)
    for name in ("vmlinux", "vmlinux.gz"):
        path = tmp_path / name
        if not path.exists():
            path.write_bytes(gzip.compress((tmp_path / "vmlinux").read_bytes()))
        folder = tmp_path / f"of {name}"
        folder.mkdir()
        sentence = refused(functools.partial(image.raw_image, path, folder))
        assert sentence.startswith(f"{path} is too large")


def multiplied(kind: str, times: int = 12) -> str:
    """Return types each of which holds many of the one before."""
    lines = ["  t0: ['char[16]']"]
    for number in range(1, times):
        lines.append(f"  {kind} t{number}: [{', '.join([f't{number - 1}'] * 16)}]")
    return "\n".join(lines)


LETTERS = "abcdefgh"
ALIASES = "".join(
    f"{one}: &{one} [{', '.join(['*' + last] * 9)}]\n" for last, one in itertools.pairwise(LETTERS)
)
MERGED = "".join(
    f"{one}: &{one} {{<<: [{', '.join(['*' + last] * 9)}]}}\n"
    for last, one in itertools.pairwise(LETTERS)
)
DIGITS = "9" * 5000


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("arguments: [999999999 x long]", "arguments: give 1 to 64."),
        (f"arguments: ['{DIGITS[:4000]} x long']", "arguments: give 1 to 64."),
        ("types: {a: ['char[2000000000]']}\narguments: [a]", f"more than {SCALARS_MAX:,} members"),
        (f"types: {{a: ['char{'[1]' * 1000}']}}\narguments: [a]", f"more than {DEPTH_MAX} types"),
        (f"types:\n{multiplied('struct')}\narguments: [long]", f"than {SCALARS_MAX:,} members"),
        (f"types:\n{multiplied('union')}\narguments: [long]", f"than {SCALARS_MAX:,} members"),
        (f"arguments: [{{type: long, value: {DIGITS}}}]", "a text of more than 4,096 characters"),
        (f"a: &a [x]\n{ALIASES}", f"more than {VALUES_MAX:,} values, with its aliases"),
        (f"a: &a {{x: y}}\n{MERGED}", f"more than {VALUES_MAX:,} values, with its aliases"),
        ("arguments: &a [*a]", "an alias stands for something that contains it"),
        (f"arguments: {'[' * 60}{']' * 60}", "nested too deeply"),
        (f"arguments: {'[' * 100_000}", "nest"),
        ("shows: 2001-13-45", "month must be in 1..12"),
    ],
)  # fmt: skip
def test_a_case_that_would_take_all_memory(text: str, sentence: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(f"shows: x\n{text}\n" if "shows" not in text else text)
    assert sentence in refused(lambda: load_case(path))


def test_an_alias_is_what_it_names(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(
        "shows: x\ntypes: {a: &pair [long, long], b: *pair}\n"
        "arguments: [&wide {type: long, value: 1}, {<<: *wide, value: 2}, a, b]\n"
    )
    values = [argument.value[0] for argument in load_case(path).arguments]
    assert values[:2] == [1, 2]


def test_a_number_that_is_no_float(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(f"shows: x\nkernels: [a]\ncost: {{growth: {DIGITS[:400]}}}\n")
    assert str(path) in refused(lambda: matrix.load(path))


def test_a_folder_of_too_many_files(tmp_path: Path) -> None:
    for number in range(FILES_MAX + 1):
        (tmp_path / f"{number}.yaml").touch()
    assert f"more than {FILES_MAX:,} YAML files" in refused(lambda: Catalog([tmp_path]).cases)


def test_a_folder_that_is_in_itself(tmp_path: Path) -> None:
    (tmp_path / "cases").symlink_to(tmp_path)
    (tmp_path / "mine.yaml").write_text("shows: x\narguments: [long]\n")
    assert "mine" in Catalog([tmp_path]).cases


def test_a_large_file_in_a_tree_is_not_held_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    tree = source_tree(tmp_path / "linux", "6.1")
    (tree / "core").touch()
    os.truncate(tree / "core", 256 << 20)
    tracemalloc.start()
    try:
        digest = opened(tree).digest
        assert tracemalloc.get_traced_memory()[1] < MEMORY_MAX
    finally:
        tracemalloc.stop()
    os.truncate(tree / "core", 255 << 20)
    assert opened(tree).digest != digest
