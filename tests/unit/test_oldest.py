# SPDX-License-Identifier: GPL-2.0-only
"""
The modules for trees with jprobes of their own need no more than v4.1 has.

They are compiled, as Kbuild says, against stand-ins for its headers; the symbols that
they then need have to be linked into every kernel.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from harness import resources
from harness.cases.catalog import Catalog
from harness.kernel.kernel import Engine
from harness.modules import casegen
from harness.modules.build import CASES, playable
from harness.toolchain.compiler import CROSS_COMPILE, GCC

HEADERS = Path(__file__).with_name("oldest-headers")

# What v4.1's own makefiles pass to Kbuild, with the compiler flags that matter here.
MAKEFILE = """\
cc-option = $(shell $(CC) $(1) -c -x c /dev/null -o /dev/null && echo $(1))
srctree := $(headers)
include $(src)/Kbuild

FLAGS := -nostdinc -isystem $(shell $(CC) -print-file-name=include) -I$(headers)/include
FLAGS += -D__KERNEL__ -O2 -fno-strict-aliasing -fno-common -mgeneral-regs-only -fno-pie
CFLAGS := -std=gnu89 -Werror=implicit-function-declaration -Werror=implicit-int
CFLAGS += -Werror=incompatible-pointer-types -Werror=int-conversion
OBJECTS := $(jprobe-native-y) $(probe-targets-y) native/jprobe_stack.o

all: $(addprefix $(src)/,$(OBJECTS))

$(src)/%.o: $(src)/%.c
	$(CC) $(FLAGS) $(CFLAGS) $(ccflags-y) -c $< -o $@

$(src)/%.o: $(src)/%.S
	$(CC) $(FLAGS) -D__ASSEMBLY__ $(asflags-y) -c $< -o $@
"""

LINKED = {
    # From objects (obj-y), or from what is one with the configuration that the guest needs.
    "kernel": {
        "__init_waitqueue_head", "__local_bh_disable_ip", "__local_bh_enable_ip",
        "__put_task_struct", "do_settimeofday64", "kernel_power_off", "kmsg_dump_get_line",
        "kmsg_dump_rewind",
        "mutex_lock", "param_ops_bool", "param_ops_charp", "wait_for_completion_interruptible",
        "__symbol_get", "__symbol_put", "__tasklet_schedule", "_cond_resched", "complete",
        "get_online_cpus", "put_online_cpus",
        "irq_work_queue", "irq_work_sync", "kallsyms_lookup_name", "kthread_bind",
        "kthread_create_on_node", "kthread_should_stop", "kthread_stop", "ktime_get",
        "ktime_to_ms", "msecs_to_jiffies", "mutex_lock_interruptible", "mutex_unlock",
        "printk", "register_jprobe", "register_kprobe", "schedule_timeout_interruptible",
        "smp_call_function_single_async", "tasklet_init", "tasklet_kill", "test_taint",
        "unregister_jprobe", "unregister_kprobe", "utsname", "wait_for_completion",
        "wake_up_process", "warn_slowpath_null", "jprobe_return",
    },
    "kernel, data": {
        "__per_cpu_offset", "__this_module", "cpu_online_mask", "nr_cpu_ids",
    },
    "mm and fs": {
        "__kmalloc", "debugfs_create_dir", "debugfs_create_file", "debugfs_remove_recursive",
        "kfree", "nonseekable_open", "simple_read_from_buffer", "vfree", "vmalloc", "vzalloc",
    },
    "lib, as objects": {"__list_add", "bin2hex", "crc32_le", "hex2bin", "kstrtoll", "kstrtouint"},
    # Members of an archive that the kernel itself calls, whatever its configuration: printk()
    # and the command line's parser.
    "lib/vsprintf.o": {"sscanf"},
    "lib/string.o": {"strsep"},
    # arch/arm64/kernel/arm64ksyms.o, an object, exports them.
    "arch/arm64/lib": {
        "__copy_from_user", "memcpy", "memmove", "memset", "strchr", "strcmp", "strlen",
        "strncmp",
        "test_and_set_bit",
    },
}  # fmt: skip
ALLOWED = {symbol for symbols in LINKED.values() for symbol in symbols}


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    """Return a copy of kernel-modules with all cases."""
    folder = tmp_path / "modules"
    shutil.copytree(resources.kernel_modules(), folder)
    (folder / CASES).write_text(
        casegen.source(playable(Engine.NATIVE, list(Catalog().cases.values())))
    )
    return folder


def compiled(folder: Path, target: str = "all") -> str:
    """Return the compiler's errors; "" if it compiles."""
    makefile = folder / "oldest.mk"
    makefile.write_text(MAKEFILE)
    words = [f"CC={GCC.program}", f"headers={HEADERS}", f"src={folder}", "JPROBE_ENGINE=native"]
    done = subprocess.run(
        ["make", "-k", "-j2", "-f", makefile, *words, target], capture_output=True, text=True
    )
    return done.stderr if done.returncode else ""


def needed(folder: Path) -> set[str]:
    """Return the symbols that no object of ours defines."""
    objects = sorted(folder.rglob("*.o"))
    out = subprocess.check_output([f"{CROSS_COMPILE}nm", *objects], text=True)
    lines = [line.split() for line in out.splitlines() if line and not line.endswith(":")]
    undefined = {words[-1] for words in lines if words[-2] in "Uw"}
    return undefined - {words[-1] for words in lines if words[-2] not in "Uw"}


def change(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert text.count(old) == 1
    file.write_text(text.replace(old, new))


def test_they_compile_and_need_only_what_is_linked(sources: Path) -> None:
    assert compiled(sources) == ""
    assert len(list(sources.rglob("*.o"))) > 9
    assert needed(sources) <= ALLOWED


def layers(folder: Path) -> list[tuple[set[str], set[str]]]:
    """Return what each object of probe-targets defines and needs, from the bottom up."""
    (objects,) = re.findall(
        r"^probe-targets-y := ((?:.*\\\n)*.*)$", (folder / "Kbuild").read_text(), re.MULTILINE
    )
    names = re.findall(r"probe-targets/(\w+)\.o", objects)
    # The last for the sake of v4.8, and what each C file has in assembler.
    assert names.pop() == "agents"
    names.remove("calls")
    found = []
    for name in ["agents", *names]:
        out = subprocess.check_output(
            [f"{CROSS_COMPILE}nm", folder / f"probe-targets/{name}.o"], text=True
        )
        words = [line.split()[-2:] for line in out.splitlines()]
        needed = {symbol for kind, symbol in words if kind == "U"}
        found.append(({symbol for _, symbol in words} - needed, needed))
    return found


def test_no_file_calls_one_that_comes_after_it(sources: Path) -> None:
    assert compiled(sources) == ""
    below: set[str] = set()
    ours = layers(sources)
    everything = set().union(*(defined for defined, _ in ours))
    assert len(ours) > 9
    for defined, wanted in ours:
        assert wanted & everything <= below
        below |= defined


def test_no_stack_is_copied_by_a_function_of_the_kernels(sources: Path) -> None:
    """KASAN's memcpy() would check accesses to a stack like those to an object."""
    for name in ("native/jprobe_stack.o", "probe-targets/contexts.o", "probe-targets/calls.o"):
        assert compiled(sources, f"{sources}/{name}") == ""
    assert not {symbol for symbol in needed(sources) if re.search("mem(cpy|set|move)", symbol)}


@pytest.mark.parametrize(
    ("call", "symbol"),
    [
        ("cpumask_any_but(cpu_online_mask, 0)", "cpumask_any_but"),
        ("cpumask_first(cpu_online_mask)", "find_first_bit"),
    ],
)
def test_a_symbol_of_an_archive_is_seen(sources: Path, call: str, symbol: str) -> None:
    change(sources / "probe-targets/agents.c", "probe_next_cpu(smp_processor_id())", call)
    assert compiled(sources, f"{sources}/probe-targets/agents.o") == ""
    assert symbol in needed(sources) - ALLOWED


@pytest.mark.parametrize(
    ("file", "old", "new", "complaint"),
    [
        # New in v4.5.
        (
            "cost",
            'asm volatile("mrs\t%0, cntvct_el0" : "=r" (now));',
            "now = read_sysreg(cntvct_el0);",
            "read_sysreg",
        ),
        # Up to v4.1, smp_store_release() and smp_load_acquire() do nothing for smaller types.
        ("storm", "\tint interrupting;", "\tbool interrupting;", "not a word"),
    ],
)
def test_what_is_newer_than_the_headers_is_seen(
    sources: Path, file: str, old: str, new: str, complaint: str
) -> None:
    change(sources / f"probe-targets/{file}.c", old, new)
    assert complaint in compiled(sources, f"{sources}/probe-targets/{file}.o")
