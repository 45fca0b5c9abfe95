# SPDX-License-Identifier: GPL-2.0-only
"""The folders that show what a BPF program leaves wrong: their texts, and whether they compile."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from harness import cli
from harness.abi.ctype import VA_LIST
from harness.abi.offsets import Offsets
from harness.cases.catalog import Catalog
from harness.errors import ConfigError, InfrastructureError
from harness.kernel.kernel import Kernel
from harness.model.case import Case
from harness.reproducer import draft, folder, source
from harness.reproducer.finding import Finding, Seen, findings
from harness.toolchain.compiler import GCC
from harness.tracers.catalog import tracers
from harness.tracers.cell import Cell, Passed
from harness.tracers.cell import Seen as Traced
from harness.tracing.run import Tracing
from tests.unit.factory import case
from tests.unit.kernels import made_up

FILES = {
    "Kbuild", "Makefile", "README", "attach.c", "program.h", "report.txt", "reproduce.sh",
    "reproducer.c",
}  # fmt: skip
ALIGNED = "{types: {wide: [__int128]}, arguments: [9 x long, wide, long]}"
CONFIG = 'CONFIG_CC_VERSION_TEXT="gcc"\n# CONFIG_BPF_JIT is not set\nCONFIG_BPF_JIT_ALWAYS_ON=y\n'
# In place of the kernel's headers.
STANDIN = """
typedef unsigned char u8;
typedef __SIZE_TYPE__ size_t;
typedef _Bool bool;
#define false 0
#define true 1
#define NULL ((void *)0)
#define __init
#define __exit
#define __used __attribute__((__used__))
#define noinline __attribute__((__noinline__))
#define __noclone __attribute__((__noclone__))
#define __packed __attribute__((__packed__))
#define __aligned(size) __attribute__((__aligned__(size)))
#define ARRAY_SIZE(array) (sizeof(array) / sizeof(*(array)))
#define module_init(begin) int init_module(void) { return begin(); }
#define module_exit(end) void cleanup_module(void) { end(); }
#define MODULE_DESCRIPTION(text)
#define MODULE_LICENSE(text)
#define THIS_MODULE NULL
#define PTR_ERR_OR_ZERO(pointer) ((pointer) == NULL)
#define DEFINE_SHOW_ATTRIBUTE(name) \\
	static int (*const name##_fops)(struct seq_file *, void *) = name##_show
#define BTF_SET8_START(name) static struct btf_id_set8 name;
#define BTF_ID_FLAGS(kind, name)
#define BTF_SET8_END(name)
struct seq_file;
struct btf_id_set8 { int count; };
struct btf_kfunc_id_set { void *owner; struct btf_id_set8 *set; };
int init_module(void);
void cleanup_module(void);
int register_btf_fmodret_id_set(const struct btf_kfunc_id_set *set);
void seq_puts(struct seq_file *file, const char *text);
void __attribute__((__format__(__printf__, 2, 3)))
seq_printf(struct seq_file *file, const char *format, ...);
struct dentry *debugfs_create_file(const char *name, int mode, void *parent, void *data,
	const void *operations);
void debugfs_remove(struct dentry *file);
int memcmp(const void *one, const void *other, size_t size);
void *memcpy(void *to, const void *from, size_t size);
void *memset(void *to, int byte, size_t size);
"""
HEADERS = ("btf", "btf_ids", "debugfs", "module", "seq_file", "string")
FLAGS = (
    "-O2", "-Wall", "-Wextra", "-Wno-unused-parameter", "-Werror", "-ffreestanding",
    "-mgeneral-regs-only", "-Wdeclaration-after-statement",
)  # fmt: skip


def cell(tracer: str, made: Case, **fields: object) -> Cell:
    """Return a cell whose last argument has arrived as zeros, unless `fields` say otherwise."""
    passed = tuple(Passed(one.type, one.value, None) for one in made.arguments)
    last = len(passed) - 1
    arrived = (*(one.value for one in passed[:last]), bytes(passed[last].type.size))
    left = {last: Offsets.span(0, passed[last].type.size)}
    whole = Cell(tracer, made, None, Traced(), passed=passed, left=left, arrived=arrived)
    return replace(whole, **fields)  # type: ignore[arg-type]


@pytest.fixture
def kernel(tmp_path: Path) -> Kernel:
    (tmp_path / "config").write_text(CONFIG)
    return made_up(tmp_path, spec="some:kernel", release="7.2.1-arm64", version="7.2.1")


def tracing(*cells: Cell) -> Tracing:
    return Tracing("some:kernel", "7.2.1-arm64", cells, len(cells))


def finding(kernel: Kernel, made: Case, tracer: str = "fexit", **fields: object) -> Finding:
    return Finding(tracers()[tracer], Seen(kernel, cell(tracer, made, **fields)), ())


def compiled(place: Path, *words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([GCC.program, *words], cwd=place, capture_output=True, text=True)


def standins(place: Path) -> list[str]:
    """Write the stand-ins for the headers; return the flags that have them included."""
    (place / "linux").mkdir()
    for name in HEADERS:
        (place / f"linux/{name}.h").touch()
    (place / "standin.h").write_text(STANDIN)
    return ["-nostdinc", "-I.", "-include", "standin.h"]


def suitable() -> list[Case]:
    cases = Catalog().cases.values()
    return [one for one in cases if not (one.real or one.variadic or VA_LIST in one.types)]


def test_the_program_compiles_without_a_library(kernel: Kernel, tmp_path: Path) -> None:
    place = tmp_path / "made"
    folder.write(finding(kernel, case(ALIGNED)), place)
    words = ["make", "-s", "attach", "CROSS_COMPILE=aarch64-linux-gnu-"]
    done = subprocess.run(words, cwd=place, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert (place / "attach").read_bytes().startswith(b"\x7fELF")


@pytest.mark.parametrize("tracer", ["fexit", "fmod-ret"])
def test_the_module_compiles(kernel: Kernel, tmp_path: Path, tracer: str) -> None:
    place = tmp_path / "made"
    folder.write(finding(kernel, case(ALIGNED), tracer), place)
    words = [*FLAGS, *standins(place), "-c", "reproducer.c"]
    assert compiled(place, *words).stderr == ""
    # The positive control.
    path = place / "reproducer.c"
    path.write_text(path.read_text().replace("struct reproducer__wide a9", "long a9", 1))
    assert "incompatible type for argument 10" in compiled(place, *words).stderr


def test_each_case_compiles(kernel: Kernel, tmp_path: Path) -> None:
    flags = [*FLAGS, *standins(tmp_path), "-fsyntax-only"]
    paths = []
    for made in suitable():
        text = folder.files(finding(kernel, made))["reproducer.c"]
        check_style(text)
        paths.append(tmp_path / f"{made.name}.c")
        paths[-1].write_text(text)
    assert len(paths) > 80
    assert compiled(tmp_path, *flags, *paths).stderr == ""


def check_style(text: str) -> None:
    """Hold C against what checkpatch.pl finds most often."""
    lines = text.splitlines()
    assert lines[0].startswith(("// SPDX-License-Identifier: GPL-2.0", "/* SPDX-"))
    assert not text.endswith("\n\n")
    for at, line in enumerate(lines):
        assert len(line.expandtabs(8)) <= 100, line
        assert line == line.rstrip(), line
        assert not line.startswith("        "), line
        # Lines do not end with an open parenthesis, and no two blank ones follow each other.
        assert not line.endswith("("), line
        assert line or lines[at - 1], at


def test_the_texts_keep_their_limits(kernel: Kernel) -> None:
    texts = folder.files(finding(kernel, case(ALIGNED), "fmod-ret"))
    assert texts.keys() == FILES
    assert len(texts["README"].splitlines()) <= 10
    for name in ("reproducer.c", "attach.c", "program.h"):
        check_style(texts[name])
    for name in ("Kbuild", "Makefile", "reproduce.sh"):
        assert "# SPDX-License-Identifier: GPL-2.0-only\n" in texts[name]
    assert max(map(len, texts["report.txt"].splitlines())) <= 100
    with pytest.raises(AssertionError):
        check_style(texts["reproducer.c"].replace("\tmemset", "        memset"))


def test_the_script_is_one_of_the_shell(kernel: Kernel, tmp_path: Path) -> None:
    folder.write(finding(kernel, case(ALIGNED)), tmp_path)
    script = tmp_path / folder.SCRIPT
    assert subprocess.run(["sh", "-n", script]).returncode == 0
    done = subprocess.run([script, "other"], capture_output=True, text=True)
    assert (done.returncode, done.stdout[:8]) == (3, "not run:")


def test_a_build_that_fails_is_not_run(kernel: Kernel, tmp_path: Path) -> None:
    folder.write(finding(kernel, case(ALIGNED)), tmp_path)
    (tmp_path / "make").write_text('#!/bin/sh\necho "$@ $KDIR"\nexit 2\n')
    (tmp_path / "make").chmod(0o755)
    done = subprocess.run(
        [tmp_path / folder.SCRIPT],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin", "CC": "some gcc", "KDIR": "/headers"},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (
        3,
        "CC=some gcc /headers\nnot run: it does not build\n",
    )


def test_padding_may_change(kernel: Kernel) -> None:
    padded = case("{types: {gap: [char, long]}, arguments: [gap, bool]}")
    assert [one.mask for one in source.arguments(padded)] == [
        b"\xff" + bytes(7) + b"\xff" * 8,
        b"\xff",
    ]
    assert "mask" in folder.files(finding(kernel, padded))["reproducer.c"]
    assert "mask" not in folder.files(finding(kernel, case(ALIGNED)))["reproducer.c"]


def test_a_box_is_a_pointer_that_is_not_followed(kernel: Kernel) -> None:
    boxed = case("{types: {pair: ['long[2]']}, arguments: [{type: pair, boxed: true}]}")
    (argument,) = source.arguments(boxed)
    assert (argument.declaration, len(argument.value)) == ("struct reproducer__box a0", 8)
    assert 0 not in argument.value
    assert (
        "struct reproducer__box {\n\tvoid *m0;\n};\n"
        in folder.files(finding(kernel, boxed))["reproducer.c"]
    )


def test_a_report_has_what_developers_ask_for(kernel: Kernel) -> None:
    earlier = replace(kernel, release="6.12.1-arm64")
    made = case(ALIGNED)
    refusing = cell("fexit", made, seen=Traced(refused="attach: ENOTSUPP"), left={})
    found = replace(finding(kernel, made), others=(Seen(earlier, refusing),))
    text = folder.files(found)["report.txt"]
    assert text.startswith("[Before this is sent, see Documentation/admin-guide/reporting-issues")
    for words in (
        "Subject: [BUG] bpf, arm64: an empty fexit program changes argument 10\n",
        "To: [scripts/get_maintainer.pl ",
        "Cc: [scripts/get_maintainer.pl ",
        "  7.2.1-arm64 (some:kernel, version 7.2.1)\n",
        "  # CONFIG_BPF_JIT is not set\n  CONFIG_BPF_JIT_ALWAYS_ON=y\n",
        "  struct reproducer__wide {\n  \t__int128 m0;\n  };\n\n  int reproducer_target(long a0,",
        "argument 9 (struct wide, 16 bytes, aligned to 16): SP + 16 (",
        "argument 10 (long): passed 0xc1b6aba0958a7f74, saw 0x0000000000000000 (byte 0-7)\n",
        "  6.12.1-arm64: refused (attach: ENOTSUPP)\n",
        "  from v6.4 on: refused: more than 8 words of arguments\n",
        "  from v6.18 on: argument 10 changed\n",
        "  No: no earlier kernel is known",
        "arch/arm64/net/bpf_jit_comp.c",
        "take 40 bytes",
        "they take 32.\n",
    ):
        assert words in text, words


@pytest.mark.parametrize(
    ("arguments", "release", "fields", "said"),
    [
        (ALIGNED, "6.17.1", {"left": {}}, "Yes: 6.17.1 leaves the arguments as they are."),
        # An earlier one of the same series.
        (ALIGNED, "7.2.0", {"left": {}}, "Yes: 7.2.0 leaves the arguments as they are."),
        # A later kernel says nothing of a regression.
        (ALIGNED, "7.9", {"left": {}}, "No: "),
        (ALIGNED, "6.17.1", {"left": {}, "errors": ("it died",)}, "No: "),
        # Had it been so, the rules would not have said it.
        ("arguments: [10 x long]", "6.17.1", {}, "Not known: by the rules, "),
    ],
)
def test_what_is_a_regression(
    kernel: Kernel, arguments: str, release: str, fields: dict[str, object], said: str
) -> None:
    made = case(arguments)
    other = Seen(replace(kernel, release=release), cell("fexit", made, **fields))
    found = replace(finding(kernel, made), others=(other,))
    assert str(draft.context(found)["regression"]).startswith(said)


def names(cells: Sequence[Cell], kernel: Kernel) -> list[str]:
    return [one.name for one in findings([kernel], [tracing(*cells)])]


def test_only_what_can_be_shown_is_found(kernel: Kernel) -> None:
    made = case(ALIGNED, "aligned")
    assert names([cell("fexit", made), cell("fmod-ret", made)], kernel) == [
        "fexit-aligned",
        "fmod-ret-aligned",
    ]
    for fit in (
        cell("fexit", made, left={}),
        cell("redirect", made),
        cell("kprobe-multi", made),
        cell("fexit", case("arguments: [long, '...', long]", "variadic")),
    ):
        assert names([fit], kernel) == []


def test_a_finding_is_of_the_first_kernel_that_has_it(kernel: Kernel) -> None:
    made = case(ALIGNED, "aligned")
    kernels = [replace(kernel, release=one) for one in ("6.12", "7.1", "7.2")]
    cells = [cell("fexit", made, left={}), cell("fexit", made), cell("fexit", made)]
    (found,) = findings(kernels, [tracing(one) for one in cells])
    assert found.wrong.kernel.release == "7.1"
    assert [one.kernel.release for one in found.others] == ["6.12", "7.2"]


def test_where_nothing_is_wrong_nothing_is_written(kernel: Kernel, tmp_path: Path) -> None:
    target = tmp_path / "some" / "folder"
    intact = tracing(cell("fexit", case(ALIGNED), left={}))
    (sentence,) = folder.write_all(target, [kernel], [intact])
    assert sentence == f"No BPF program leaves an argument wrong: nothing is in {target}."
    assert not target.exists()
    (sentence,) = folder.write_all(target, [kernel], [tracing(cell("fexit", case(ALIGNED)))])
    assert sentence == f"{target}/fexit-made-up shows how fexit changes argument 10 of made-up."
    assert {one.name for one in (target / "fexit-made-up").iterdir()} == FILES


def test_a_folder_that_cannot_be_written(kernel: Kernel, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    wrong = tracing(cell("fexit", case(ALIGNED)))
    with pytest.raises(InfrastructureError):
        folder.write_all(tmp_path / "file", [kernel], [wrong])


def test_a_folder_is_checked_before_a_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["tracers", "--tracer", "no-such", "--reproducer"]
    (tmp_path / "file").touch()
    for bad in ("file", "none/below"):
        assert cli.main([*words, str(tmp_path / bad)]) == ConfigError.exit_status
        assert f"Nothing can be written to {tmp_path / bad}: " in capsys.readouterr().err
