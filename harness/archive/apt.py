# SPDX-License-Identifier: GPL-2.0-only
"""
Access to a Debian archive through a private apt, which needs no root.

This apt has a state and a cache of its own, and checks signatures and checksums.
The archive's address comes from the machine's own apt or from the user's configuration.
"""

from __future__ import annotations

import os
import re
import select
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from harness.errors import ArchiveError, UntrustedArchiveError
from harness.host import blame, temporary, tool
from harness.host.deadline import Deadline
from harness.settings import Archive, Source
from harness.steps import progress

DOWNLOAD_SECONDS = 900
EXIT_SECONDS = 30
# Ends the name of a suite that has only debugging symbols.
_DEBUG = "-debug"
# Suffixes of a suite's sister archives.
_SUITE_SUFFIX = re.compile(r"-(security|updates|proposed-updates|backports)$")


@dataclass(frozen=True)
class Package:
    """One version of a package in the archive."""

    name: str
    version: str
    architecture: str
    depends: str

    @property
    def file_stem(self) -> str:
        return f"{self.name}_{self.version}_{self.architecture}"


def host_sources() -> list[Source]:
    """Return the Debian archives that the machine itself installs from; raise ArchiveError."""
    # A third party's archive may use the same suite names, but has another origin.
    form = "$(ORIGIN)|$(REPO_URI)|$(CODENAME)"
    done = tool.run(["apt-get", "indextargets", "--format", form, "Created-By: Packages"])
    suites: dict[str, list[str]] = {}
    for line in done.stdout.splitlines():
        origin, uri, codename = line.split("|", 2)
        if origin != "Debian" or uri.startswith("cdrom:") or codename.endswith(_DEBUG):
            continue
        if codename not in suites.setdefault(uri, []):
            suites[uri].append(codename)
    if not suites:
        raise ArchiveError(
            "This machine's apt knows no Debian archive.",
            "Run 'apt-get update' as root, or name one under archive.sources in"
            " the configuration (see the README).",
        )
    return [Source(uri=uri, suites=names) for uri, names in suites.items()]


def in_suites(archive: Archive, suites: Sequence[str]) -> Archive:
    """Return the archive with `suites` and their sisters in place of the machine's own."""
    sources = archive.sources or host_sources()
    if suites and not archive.sources:
        sources = _held([_moved(source, suites) for source in sources])
    return Archive(sources=sources, allow_expired=archive.allow_expired)


def _moved(source: Source, suites: Sequence[str]) -> Source:
    """Return the source with `suites` in place of its own."""
    ends = {match[0] if (match := _SUITE_SUFFIX.search(name)) else "" for name in source.suites}
    names = sorted(suite + end for suite in suites for end in ends)
    return Source(uri=source.uri, keyring=source.keyring, suites=names)


def _held(sources: list[Source]) -> list[Source]:
    """Return the sources without the suites that they lack, as a third party's archive may."""
    with temporary.folder() as folder:
        apt = Apt(folder, Archive(sources=sources), host_architecture())
        lacking = apt.lacking()

    def has(source: Source, suite: str) -> bool:
        return (source.uri.rstrip("/"), suite) not in lacking

    held = [
        Source(source.uri, [suite for suite in source.suites if has(source, suite)], source.keyring)
        for source in sources
    ]
    # Where no suite is left, apt itself reports why.
    return [source for source in held if source.suites] or sources


def host_architecture() -> str:
    """Return Debian's name for the machine's own architecture."""
    return tool.check(["dpkg", "--print-architecture"]).strip()


class Apt:
    """A private apt whose files lie below `folder`."""

    def __init__(self, folder: Path, archive: Archive, architecture: str) -> None:
        self.folder = folder
        self._archive = archive
        # The foreign architecture comes first: unqualified names mean it.
        self._architectures = dict.fromkeys([architecture, host_architecture()])
        # Remembered, since apt-cache takes most of a second for each query.
        self._known: dict[str, list[Package]] = {}

    def _options(self) -> list[str]:
        options = {
            "Dir::State": self.folder / "state",
            "Dir::State::status": "/dev/null",
            "Dir::Cache": self.folder / "cache",
            "Dir::Etc::sourcelist": self.folder / "sources.list",
            "Dir::Etc::sourceparts": "/dev/null",
            "Dir::Etc::preferences": "/dev/null",
            "Dir::Etc::preferencesparts": "/dev/null",
            "APT::Architecture": next(iter(self._architectures)),
            "APT::Sandbox::User": "",
            "Acquire::Languages": "none",
            "Acquire::Retries": "3",
        }
        if self._archive.allow_expired:
            options["Acquire::Check-Valid-Until"] = "false"
        words = [word for key, value in options.items() for word in ("-o", f"{key}={value}")]
        for architecture in self._architectures:
            words += ["-o", f"APT::Architectures::={architecture}"]
        return words

    def _run(self, command: Sequence[str]) -> str:
        done = tool.run([command[0], *self._options(), *command[1:]])
        if done.returncode:
            raise explain(_verb(command), done.stderr)
        return done.stdout

    def _fetch(self, command: Sequence[str], cwd: Path, what: str) -> None:
        """Run an apt-get that downloads, and report how far it is."""
        reading, writing = os.pipe()
        with (
            open(reading, "rb", buffering=0) as status,
            open(writing, "wb") as status_end,
            open(cwd / "apt.log", "w+", errors="replace") as log,
        ):
            words = [command[0], *self._options(), "-o", f"APT::Status-Fd={writing}", *command[1:]]
            try:
                with tool.started(
                    words, stdout=log, stderr=log, pass_fds=[writing], cwd=cwd
                ) as process:
                    status_end.close()
                    _follow(status, what)
                    failed = process.wait(EXIT_SECONDS)
            except subprocess.TimeoutExpired as error:
                raise ArchiveError(f"{command[0]} does not end.", "Try again.") from error
            if failed:
                log.seek(0)
                raise explain(_verb(command), log.read())
        progress(what, 100.0)

    def _trust(self, source: Source) -> str:
        architectures = ",".join(self._architectures)
        return f"arch={architectures} signed-by={source.keyring}"

    def lacking(self) -> set[tuple[str, str]]:
        """Return address and suite of each source that does not exist; fetch no index."""
        self._write_sources()
        words = ["-o", "Acquire::IndexTargets::deb::Packages::DefaultEnabled=false", "update"]
        done = tool.run(["apt-get", *self._options(), *words], seconds=DOWNLOAD_SECONDS)
        found = re.findall(r"'(\S+) (\S+) Release' does not have a Release file", done.stderr)
        return {(uri.rstrip("/"), suite) for uri, suite in found}

    def update(self) -> None:
        """Fetch the index of every configured suite."""
        self._write_sources()
        self._fetch(["apt-get", "--error-on=any", "update"], self.folder, "package index")
        self._known.clear()

    def _write_sources(self) -> None:
        for folder in ("state/lists/partial", "cache/archives/partial"):
            (self.folder / folder).mkdir(parents=True, exist_ok=True)
        lines = [
            f"deb [{self._trust(source)}] {source.uri} {suite} main\n"
            for source in self._archive.sources or host_sources()
            for suite in source.suites
        ]
        (self.folder / "sources.list").write_text("".join(lines))

    def versions(self, name: str) -> list[Package]:
        """Return all versions of a package in the archive, newest first; the list may be empty."""
        if name not in self._known:
            self._known[name] = self._show([name])
        return self._known[name]

    def learn(self, names: Sequence[str]) -> None:
        """Query many packages at once, so that versions() has them without a further query."""
        plain = {name: name.partition(":")[0] for name in names}
        there = set(self.names("|".join(map(re.escape, plain.values()))))
        packages = self._show([name for name in names if plain[name] in there])
        for name in names:
            self._known[name] = [package for package in packages if package.name == plain[name]]

    def _show(self, names: Sequence[str]) -> list[Package]:
        try:
            text = self._run(["apt-cache", "show", "--all-versions", *names])
        except ArchiveError:
            return []
        return [_package(stanza) for stanza in text.split("\n\n") if stanza.strip()]

    def names(self, pattern: str) -> list[str]:
        """Return the names of all packages that match a regular expression as a whole."""
        names = self._run(["apt-cache", "pkgnames"]).split()
        return sorted({name for name in names if re.fullmatch(pattern, name)})

    def newest(self, name: str) -> Package:
        versions = self.versions(name)
        if not versions:
            raise ArchiveError(
                f"The archive has no package '{name}'.",
                "It may have been superseded: run again with --refresh.",
            )
        return versions[0]

    def download(self, packages: Sequence[Package], folder: Path) -> list[Path]:
        """Download packages into `folder`; apt checks them against the index."""
        wanted = [f"{p.name}:{p.architecture}={p.version}" for p in packages]
        wanted = [word.replace(":all=", "=") for word in wanted]
        what = f"{len(wanted)} packages" if len(wanted) > 1 else packages[0].name
        self._fetch(["apt-get", "download", *wanted], folder, what)
        return sorted(folder.glob("*.deb"))


def _package(stanza: str) -> Package:
    fields = dict(re.findall(r"^([\w-]+): (.*)$", stanza, re.MULTILINE))
    return Package(
        name=fields["Package"],
        version=fields["Version"],
        architecture=fields["Architecture"],
        depends=fields.get("Depends", ""),
    )


def _follow(status: BinaryIO, what: str) -> None:
    """Report apt's progress until it closes the pipe; raise ArchiveError after a time limit."""
    deadline = Deadline(DOWNLOAD_SECONDS)
    rest = b""
    while True:
        ready, _, _ = select.select([status], [], [], deadline.left)
        if not ready:
            raise ArchiveError(
                f"The download of the {what} took longer than {DOWNLOAD_SECONDS} s.",
                "Try again; complete downloads are kept.",
            )
        data = status.read(65536)
        if not data:
            return
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            # dlstatus:NUMBER:PERCENT:WORDS
            fields = line.split(b":")
            if fields[0] == b"dlstatus":
                progress(what, float(fields[2]))


def accepts_expired(archive: Archive) -> bool:
    """Return whether the configuration, or the machine's apt, accepts an expired Release file."""
    if archive.allow_expired:
        return True
    words = ["apt-config", "shell", "checks", "Acquire::Check-Valid-Until/b"]
    return "'false'" in tool.check(words)


def _verb(command: Sequence[str]) -> str:
    return command[-1] if "update" in command else command[1]


def explain(verb: str, output: str) -> ArchiveError:
    """
    Return the error for apt's failure to do `verb`, with apt's own message and a hint.

    Raises InfrastructureError where this machine is the cause.
    """
    lines = [line[3:] for line in output.splitlines() if line.startswith(("E: ", "W: "))]
    detail = next((line for line in lines if line), output.strip()[-200:])
    sentence = f"apt failed to {verb}: {detail}"
    text = output.lower()
    if "expired" in text or "not valid until" in text:
        return ArchiveError(
            sentence,
            "If the archive is a frozen snapshot, set archive.allow_expired: true in the"
            " configuration; its signature is checked all the same.",
        )
    if "hash sum mismatch" in text or "unexpected size" in text:
        return UntrustedArchiveError(
            sentence, "The file was changed or cut short on its way; run again with --refresh."
        )
    if "no_pubkey" in text or "not signed" in text or "signature" in text:
        return UntrustedArchiveError(
            sentence, "The archive is not signed by the configured keyring; nothing was used."
        )
    if "unable to locate" in text or "not found" in text:
        return ArchiveError(sentence, "It may have been superseded: run again with --refresh.")
    blame.check("apt", 1, "\n".join(line for line in output.splitlines() if line[:3] == "E: "))
    return ArchiveError(
        sentence, "Check the network, and that 'apt-get update' works on this machine."
    )


def unpack(package: Path, folder: Path) -> None:
    """Unpack a package's files; nothing is installed and no script of the package runs."""
    done = tool.run(["dpkg-deb", "--extract", package, folder])
    if done.returncode:
        blame.check("dpkg-deb", done.returncode, done.stderr)
        raise ArchiveError(f"{package.name} cannot be unpacked: {done.stderr.strip()}.")
