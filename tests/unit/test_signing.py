# SPDX-License-Identifier: GPL-2.0-only
"""Modules for kernels that do not load every module."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from harness.errors import ConfigError
from harness.kernel.kernel import Kernel
from harness.modules import build as modules
from harness.modules import signing
from harness.toolchain.compiler import GCC, Compiler
from harness.toolchain.toolchain import Toolchain
from tests.unit.kernels import made_up

FORCED = 'CONFIG_MODULE_SIG_FORCE=y\nCONFIG_MODULE_SIG_HASH="sha512"\n'
# Writes its arguments in place of a signature.
SIGN_FILE = """\
#!/bin/sh
for file in "$2" "$3"; do [ -f "$file" ] || exit 1; done
printf '%s %s\n~Module signature appended~\n' "$1" "$(cat "$3")" >>"$4"
"""


def kernel(folder: Path, config: str, release: str = "6.1.0") -> Kernel:
    """Return a kernel that was built in a folder."""
    (folder / ".config").write_text(config)
    return made_up(folder, spec="mine", release=release, config=folder / ".config")


def with_key(folder: Path, *, key: str, certificate: str, program: str) -> None:
    for name, text in ((key, "private"), (certificate, "public"), (program, SIGN_FILE)):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    (folder / program).chmod(0o755)


def test_a_kernel_that_takes_any_module(tmp_path: Path) -> None:
    any_ = kernel(tmp_path, "CONFIG_MODULE_SIG=y\n# CONFIG_MODULE_SIG_FORCE is not set\n")
    assert signing.signed(any_, b"module") == b"module"
    assert signing.stamp(any_) == ""


@pytest.mark.parametrize(
    ("config", "key", "certificate", "program"),
    [
        ("", "certs/signing_key.pem", "certs/signing_key.x509", "scripts/sign-file"),
        (
            'CONFIG_MODULE_SIG_KEY="mine.pem"\n',
            "source/mine.pem",
            "certs/signing_key.x509",
            "scripts/sign-file",
        ),
        ("", "signing_key.priv", "signing_key.x509", "source/scripts/sign-file"),
    ],
    ids=["made by the build", "the tree's own", "before v4.3"],
)
def test_modules_are_signed_with_the_builds_key(
    tmp_path: Path, config: str, key: str, certificate: str, program: str
) -> None:
    forced = kernel(tmp_path, FORCED + config)
    with_key(tmp_path, key=key, certificate=certificate, program=program)
    signed = signing.signed(forced, b"module")
    assert signed == b"modulesha512 public\n~Module signature appended~\n"
    # A distribution's driver is signed already.
    assert signing.signed(forced, signed) == signed
    before = signing.stamp(forced)
    (tmp_path / certificate).write_text("of another build")
    assert signing.stamp(forced) != before


def test_a_kernel_whose_key_is_elsewhere(tmp_path: Path) -> None:
    forced = kernel(tmp_path, FORCED)
    with pytest.raises(ConfigError, match=r"CONFIG_MODULE_SIG_FORCE .* no certs/signing_key\.pem"):
        modules.build(forced, [])
    with_key(
        tmp_path,
        key="certs/signing_key.pem",
        certificate="certs/signing_key.x509",
        program="scripts/sign-file",
    )
    (tmp_path / "scripts/sign-file").unlink()
    with pytest.raises(ConfigError, match="has no scripts/sign-file"):
        signing.stamp(forced)


class Knows(Toolchain):
    """Takes what it is given."""

    def knows(self, *flags: str) -> bool:
        return self.compiler.program >= "clang-16"


CLANG_14, CLANG_16 = (Compiler(f"clang-{number}", clang=True) for number in (14, 16))


@pytest.mark.parametrize(
    ("config", "release", "compiler", "words"),
    [
        ("CONFIG_CFI_CLANG=y\n", "6.1.0", GCC, ["CONFIG_CFI_CLANG", "--cc clang-16"]),
        ("CONFIG_CFI=y\n", "6.18.0", GCC, ["CONFIG_CFI", "--cc clang-16"]),
        ("CONFIG_CFI_CLANG=y\n", "6.1.0", CLANG_14, ["clang-14", "--cc clang-16"]),
        ("CONFIG_CFI_CLANG=y\n", "5.15.0", CLANG_16, ["CONFIG_CFI_CLANG", "before v6.1"]),
        ("CONFIG_CFI_CLANG=y\n", "6.1.0", CLANG_16, []),
        ("# CONFIG_CFI_CLANG is not set\n", "6.1.0", GCC, []),
    ],
)
def test_a_kernel_that_checks_its_calls(
    tmp_path: Path, config: str, release: str, compiler: Compiler, words: Sequence[str]
) -> None:
    checking = kernel(tmp_path, config, release)
    if not words:
        modules.check_cfi(checking, Knows(compiler))
        return
    with pytest.raises(ConfigError) as caught:
        modules.check_cfi(checking, Knows(compiler))
    assert all(word in str(caught.value) for word in words)
