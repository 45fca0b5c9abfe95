# SPDX-License-Identifier: GPL-2.0-only
"""Signs modules for a kernel that loads no others, with the key of its own build."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from harness.errors import ConfigError
from harness.host import cache, temporary, tool
from harness.kernel import kconfig
from harness.kernel.kernel import Bootable, Kernel

FORCED = "CONFIG_MODULE_SIG_FORCE"
# At the end of a module that is signed.
_MARK = b"~Module signature appended~\n"
_KEY, _CERTIFICATE = "certs/signing_key.pem", "certs/signing_key.x509"
# Up to v4.2.
_OLD_KEY, _OLD_CERTIFICATE = "signing_key.priv", "signing_key.x509"


@dataclass(frozen=True)
class Signer:
    """The program, the key and the certificate with which a kernel's build signs modules."""

    # sign-file, built there.
    program: Path
    # "sha256", ...
    hash: str
    key: Path
    certificate: Path

    def sign(self, data: bytes) -> bytes:
        """Return a module with a signature; one that already has one is returned unchanged."""
        if data.endswith(_MARK):
            return data
        with temporary.folder() as folder:
            module = folder / "module.ko"
            module.write_bytes(data)
            tool.check([self.program, self.hash, self.key, self.certificate, module])
            return module.read_bytes()


def signer(kernel: Kernel) -> Signer | None:
    """
    Return what signs modules for a kernel, or None if it loads unsigned ones.

    Raises ConfigError where the kernel needs signatures and there is no key.
    """
    if not kernel.has(FORCED):
        return None
    options = kconfig.parse(kernel.config.read_text(errors="replace"))
    key = options.get("CONFIG_MODULE_SIG_KEY", "").strip('"') or _KEY
    # The files may also lie in the source tree that an output folder was made from.
    built = kernel.kbuild.folder
    places = (built, built / "source")
    found = [
        next((place / name for place in places if (place / name).is_file()), None)
        for name in ("scripts/sign-file", key, _CERTIFICATE)
    ]
    if found[1] is None and key == _KEY:
        found[1:] = [
            path if (path := built / name).is_file() else None
            for name in (_OLD_KEY, _OLD_CERTIFICATE)
        ]
    program, private, certificate = found
    if not (program and private and certificate):
        missing = "scripts/sign-file" if private and certificate else key
        raise ConfigError(
            f"The kernel {kernel.spec} was built with {FORCED} and loads signed modules only,"
            f" but {built} has no {missing} to sign ours with.",
            "Give the folder that this very kernel was built in, with its key.",
        )
    return Signer(
        program, options.get("CONFIG_MODULE_SIG_HASH", "").strip('"'), private, certificate
    )


def signed(kernel: Bootable, data: bytes) -> bytes:
    """Return a module as the kernel loads it; raise ConfigError as signer() does."""
    if data.endswith(_MARK):
        return data
    found = signer(kernel) if isinstance(kernel, Kernel) else None
    return found.sign(data) if found else data


def stamp(kernel: Kernel) -> str:
    """
    Return a string that tells signing keys apart, since each build of a tree makes its own.

    Raises ConfigError as signer() does.
    """
    found = signer(kernel)
    return cache.digest(found.certificate.read_bytes(), found.hash) if found else ""
