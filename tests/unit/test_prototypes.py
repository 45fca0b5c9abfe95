# SPDX-License-Identifier: GPL-2.0-only
"""Prototypes are found in whatever file a kernel has them in."""

from __future__ import annotations

import lzma
import subprocess
from pathlib import Path

import pytest

from harness.errors import ConfigError
from harness.kernel import image
from harness.measure.survey import place
from harness.prototypes import source
from harness.prototypes.btf import Btf
from harness.prototypes.source import Files
from harness.report.survey.documents import place as where
from tests.unit.made_btf import Maker, nine_words

C = """
typedef __builtin_va_list va_list;
struct big { long a[3]; };
struct pair { long a, b; };
enum { SMALL } small;
int nine(int a, char b, short c, long d, long *e, _Bool f, long g, long h, char i, struct big j)
{ return a + i; }
int print(const char *format, va_list list) { return 0; }
int more(const char *format, ...) { return 0; }
const char banner[] = "Linux version 6.12.3-dwarf (x@y) ";
void wide(long a, unsigned __int128 b, struct pair c, struct pair d) { }
"""
# By hand, from AAPCS64.
EXPECTED = {
    "nine": ["x0", "x1", "x2", "x3", "x4", "x5", "x6", "x7", "SP+0", "address of a copy in SP+8"],
    "print": ["x0", "address of a copy in x1"],
    "more": ["x0"],
    "wide": ["x0", "x2, x3", "x4, x5", "x6, x7"],
}


@pytest.fixture(scope="module")
def vmlinux(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an ELF file for arm64 with DWARF."""
    folder = tmp_path_factory.mktemp("elf")
    (folder / "a.c").write_text(C)
    flags = ["-g", "-O1", "-nostdlib", "-static", "-Wl,-e,nine"]
    subprocess.run(
        ["aarch64-linux-gnu-gcc", *flags, folder / "a.c", "-o", folder / "vmlinux"], check=True
    )
    return folder / "vmlinux"


def found(prototypes: source.Prototypes) -> dict[str, list[str]]:
    made = {}
    for one in prototypes:
        layout = place(one.signature).layout
        assert layout
        made[one.name] = [where(slot) for slot in layout.placements]
    return made


def test_dwarf(vmlinux: Path) -> None:
    read = source.read(Files("vmlinux", (vmlinux,)))
    assert "DWARF" in read.source
    assert found(read) == EXPECTED
    assert read.release == "6.12.3-dwarf"
    assert {one.name for one in read if one.signature.variadic} == {"more"}
    # No image was read, so that what has no prototype is not known.
    assert read.symbols is None


def test_the_section_of_a_vmlinux(vmlinux: Path, tmp_path: Path) -> None:
    both, btf = tmp_path / "vmlinux", tmp_path / "btf"
    subprocess.run(["pahole", f"--btf_encode_detached={btf}", vmlinux], check=True)
    add = ["aarch64-linux-gnu-objcopy", "--strip-debug", f"--add-section=.BTF={btf}"]
    subprocess.run([*add, vmlinux, both], check=True)
    read = source.read(Files("vmlinux", (both,)))
    assert "section .BTF" in read.source
    assert found(read) == EXPECTED


def raw(data: bytes, folder: Path) -> Path:
    path = folder / "Image"
    path.write_bytes(
        image.stub() + bytes(1000) + data + b"Linux version 6.1.0-made (x@y) " + bytes(9)
    )
    return path


def module(base: Btf) -> bytes:
    made = Maker(base.end, base.strings_end)
    made.function("probe", [("a", 1)], 1)
    return made.data()


def test_an_image_and_its_modules(tmp_path: Path) -> None:
    data = nine_words().data()
    own = module(Btf(data))
    folder = tmp_path / "kernel/drivers"
    folder.mkdir(parents=True)
    (folder / "plain.ko").write_bytes(b"\x7fELF" + bytes(100) + own + bytes(8))
    (folder / "packed.ko.xz").write_bytes(lzma.compress(b"\x7fELF" + own))
    (folder / "without.ko").write_bytes(b"\x7fELF" + bytes(100))
    (folder / "newer.ko").write_bytes(b"\x7fELF" + own[:2] + b"\x02" + own[3:])
    read = source.read(Files("made", (raw(data, tmp_path),), tmp_path / "kernel"))
    assert read.release == "6.1.0-made"
    assert read.read == ("packed", "plain")
    assert read.unread.keys() == {"newer", "without"}
    assert read.unread["without"] == "it has no BTF"
    assert "version 2" in read.unread["newer"]
    assert [(one.module, one.name) for one in read] == [
        ("", "nine"), ("packed", "probe"), ("plain", "probe"),
    ]  # fmt: skip
    assert read.total == 3


def test_an_image_without_btf_beside_a_vmlinux_with_dwarf(vmlinux: Path, tmp_path: Path) -> None:
    read = source.read(Files("both", (raw(b"", tmp_path), vmlinux)))
    assert "DWARF" in read.source
    assert read.release == "6.1.0-made"


@pytest.mark.parametrize(
    ("data", "phrase"),
    [
        (b"", "neither BTF nor DWARF in"),
        (nine_words().data(version=2), r"cannot be used: its header \(version 2"),
        (Maker().data() + bytes(4), "neither BTF nor DWARF in"),
    ],
)
def test_what_cannot_be_read_is_one_sentence_with_a_next_step(
    data: bytes, phrase: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=phrase) as caught:
        source.read(Files("made", (raw(data, tmp_path),)))
    assert caught.value.hint


def test_a_newer_kind_ends_a_survey(tmp_path: Path) -> None:
    made = nine_words()
    made.add(20, "", 0)
    with pytest.raises(ConfigError, match="newer than this program"):
        source.read(Files("made", (raw(made.data(), tmp_path),)))


def test_types_without_functions(tmp_path: Path) -> None:
    made = Maker()
    made.integer("int", 4)
    with pytest.raises(ConfigError, match="has no functions"):
        source.read(Files("made", (raw(made.data(), tmp_path),)))


def test_a_path_names_an_image_or_a_folder_with_one(tmp_path: Path) -> None:
    path = raw(b"", tmp_path)
    assert source.of_path("made", path) == Files("made", (path,))
    assert source.of_path("made", tmp_path) is None
    assert source.of_path("made", tmp_path / "nothing") is None
    built = tmp_path / "vmlinux"
    built.touch()
    assert source.of_path("made", tmp_path) == Files("made", (built,), tmp_path)
