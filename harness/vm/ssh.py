# SPDX-License-Identifier: GPL-2.0-only
"""SSH into a guest, with a key pair made for this guest and the guest's host key pinned."""

from __future__ import annotations

import base64
import binascii
import logging
import re
import shlex
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import paramiko
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from harness.errors import InfrastructureError
from harness.guest.protocol import OUTPUT_MAX
from harness.guest.records import Ran
from harness.host import blame
from harness.host.deadline import Deadline

USER = "root"
KEY_TYPE = "ssh-ed25519"
# Counted from the guest's record that it serves SSH.
CONNECT_SECONDS = 60
# For one attempt: the port answers before the server behind it does.
BANNER_SECONDS = 10
RETRY_SECONDS = 0.1
# How often a request that the server ignored is made again.
REQUESTS = 10
CHUNK = 1 << 16
# The largest file that is fetched, and how much more may come than the file's size, which is 0
# for a file in /proc and too small for a log that grows.
FILE_MAX, EXCESS_MAX = 4 << 30, 64 << 20

# paramiko logs each failed attempt with a traceback, which must not reach the user's terminal.
logging.getLogger("paramiko").addHandler(logging.NullHandler())
logging.getLogger("paramiko").propagate = False


class SshError(InfrastructureError):
    """The guest cannot be reached, or the connection broke."""


class WrongHostKey(SshError):
    """Another program than the guest answers on its port."""


class Key:
    """A key pair that is used for one guest only."""

    def __init__(self) -> None:
        self._private = Ed25519PrivateKey.generate()

    @property
    def public(self) -> str:
        """The public key, as a line of authorized_keys."""
        line = self._private.public_key().public_bytes(
            serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
        )
        return line.decode()

    def write(self, file: Path) -> None:
        """Write the private key as ssh -i reads it, readable for this user only."""
        file.touch(mode=0o600)
        file.write_bytes(
            self._private.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.OpenSSH,
                serialization.NoEncryption(),
            )
        )


def _host(port: int) -> str:
    """Return a server's name in a known_hosts file."""
    return f"[127.0.0.1]:{port}"


def _word(path: Path) -> str:
    """Return a path quoted for ssh_config(5), in which a percent sign begins a token."""
    text = re.sub(r'(["\\])', r"\\\1", str(path)).replace("%", "%%")
    return f'"{text}"'


def write_config(folder: Path, port: int, host_key: str, key: Path) -> Path:
    """Write and return a configuration for the user's ssh, scp and sftp: ssh -F FILE guest."""
    known = folder / "known_hosts"
    known.write_text(f"{_host(port)} {KEY_TYPE} {host_key}\n")
    config = folder / "ssh_config"
    config.write_text(
        "Host guest\n"
        "    HostName 127.0.0.1\n"
        f"    Port {port}\n"
        f"    User {USER}\n"
        f"    IdentityFile {_word(key)}\n"
        "    IdentitiesOnly yes\n"
        f"    UserKnownHostsFile {_word(known)}\n"
        "    StrictHostKeyChecking yes\n"
    )
    return config


class Ssh:
    """
    A context manager that connects on entry, and closes the connection on exit.

    Raises WrongHostKey where the server's key is not `host_key`, and SshError where
    the connection fails for another reason.
    """

    def __init__(
        self, port: int, host_key: str, key: Path, seconds: float = CONNECT_SECONDS
    ) -> None:
        self.port = port
        self._key = key
        self._seconds = seconds
        self._client = paramiko.SSHClient()
        self._client.set_missing_host_key_policy(paramiko.RejectPolicy())
        pinned = paramiko.PKey.from_type_string(KEY_TYPE, _decoded(host_key))
        self._client.get_host_keys().add(_host(port), KEY_TYPE, pinned)

    def __enter__(self) -> Ssh:
        deadline = Deadline(self._seconds)
        while True:
            try:
                self._connect()
            except paramiko.BadHostKeyException as error:
                self._client.close()
                raise WrongHostKey(
                    f"What answers on port {self.port} is not the guest: its host key is another.",
                    "Another program may have taken the port; run again.",
                ) from error
            except paramiko.AuthenticationException as error:
                self._client.close()
                raise SshError("The guest does not accept the key that was made for it.") from error
            except (paramiko.SSHException, OSError, EOFError) as error:
                self._client.close()
                if deadline.passed:
                    raise SshError(
                        f"The guest does not answer SSH within {self._seconds:.0f} s: {error}.",
                        "See the guest's console: jprobe-harness log last",
                    ) from error
                # There is no sign of when the server is ready.
                time.sleep(RETRY_SECONDS)
            else:
                return self

    def _connect(self) -> None:
        self._client.connect(
            "127.0.0.1",
            self.port,
            USER,
            pkey=paramiko.Ed25519Key.from_private_key_file(str(self._key)),
            timeout=BANNER_SECONDS,
            banner_timeout=BANNER_SECONDS,
            auth_timeout=BANNER_SECONDS,
            allow_agent=False,
            look_for_keys=False,
        )

    def __exit__(self, *exception: object) -> None:
        self._client.close()

    def request(self, ask: Callable[[paramiko.Channel], object]) -> paramiko.Channel:
        """
        Open a session, and have `ask` request a command, a shell or a subsystem in it.

        Dropbear before 2024.86 closes a session without a request when the process of
        another session ends (dropbear commit 71521d1b), and ends the connection if the
        request comes at that very moment.  In either case it does nothing of the request,
        which is made again.  Raises SshError.
        """
        for again in range(REQUESTS, -1, -1):
            with ExitStack() as resources:
                try:
                    channel = resources.enter_context(self._session())
                    ask(channel)
                except (paramiko.SSHException, OSError, EOFError) as error:
                    if not again:
                        raise _broken(error) from error
                    self._mend(error)
                else:
                    resources.pop_all()
                    return channel
        raise AssertionError

    def _mend(self, error: Exception) -> None:
        """Connect again where the server has ended the connection; raise SshError."""
        transport = self._client.get_transport()
        if transport and transport.is_active():
            return
        try:
            self._connect()
        except (paramiko.SSHException, OSError, EOFError):
            raise _broken(error) from error

    def _session(self) -> paramiko.Channel:
        transport = self._client.get_transport()
        if transport is None:
            raise EOFError
        return transport.open_session(timeout=self._seconds)

    def run(self, command: str, seconds: float = CONNECT_SECONDS) -> Ran:
        """
        Run a command line of the guest's shell, and return its status and all its output.

        Raises SshError where it takes longer than `seconds`, or prints more than OUTPUT_MAX
        bytes.
        """
        deadline = Deadline(seconds)
        channel = self.request(lambda channel: start(channel, command, merged=True))
        channel.settimeout(seconds)
        output = bytearray()
        try:
            while piece := channel.recv(CHUNK):
                output += piece
                if len(output) > OUTPUT_MAX:
                    raise SshError(f"'{command}' prints more than {OUTPUT_MAX:,} bytes.")
                if deadline.passed:
                    raise TimeoutError
                channel.settimeout(max(0.001, deadline.left))
            status = status_of(channel, deadline.left)
        except TimeoutError as error:
            raise SshError(f"'{command}' took longer than {seconds:.0f} s in the guest.") from error
        except (paramiko.SSHException, OSError, EOFError) as error:
            raise _broken(error) from error
        finally:
            channel.close()
        return Ran(status, output.decode(errors="replace"))

    def put(
        self, local: Path, remote: str, report: Callable[[int, int], object] | None = None
    ) -> None:
        """Copy a file to the guest; `report` is called with the bytes done and in all."""
        self._transfer(lambda sftp: sftp.put(str(local), remote, callback=report))

    def get(
        self, remote: str, local: Path, report: Callable[[int, int], object] | None = None
    ) -> None:
        """
        Copy a file from the guest.

        Raises SshError where it is larger than FILE_MAX bytes, or has over EXCESS_MAX
        bytes more than its size.
        """
        self._transfer(lambda sftp: _fetch(sftp, remote, local, report or (lambda *_: None)))

    def _transfer(self, copy: Callable[[paramiko.SFTPClient], object]) -> None:
        channel = self.request(lambda channel: channel.invoke_subsystem("sftp"))
        try:
            with paramiko.SFTPClient(channel) as sftp:
                copy(sftp)
        except FileNotFoundError as error:
            raise SshError(f"There is no such file: {error}.") from error
        except (paramiko.SSHException, OSError, EOFError) as error:
            raise _broken(error) from error


def _fetch(
    sftp: paramiko.SFTPClient, remote: str, local: Path, report: Callable[[int, int], object]
) -> None:
    size = sftp.stat(remote).st_size or 0
    if size > FILE_MAX:
        raise SshError(f"{remote} has {size:,} bytes; at most {FILE_MAX:,} are fetched.")
    done = 0
    with sftp.open(remote, "rb") as source, ExitStack() as resources:
        with blame.explaining(f"{local} cannot be written"):
            target = resources.enter_context(local.open("wb"))
        source.prefetch(size)
        while piece := source.read(CHUNK):
            with blame.explaining(f"{local} cannot be written"):
                done += target.write(piece)
            report(done, size)
            if done > size + EXCESS_MAX:
                raise SshError(f"{remote} does not end: its size is {size:,} bytes, and more came.")


def _decoded(key: str) -> bytes:
    try:
        return base64.b64decode(key, validate=True)
    except binascii.Error as error:
        raise SshError("The guest's host key is damaged.") from error


def _broken(error: Exception) -> SshError:
    return SshError(
        f"The connection to the guest broke: {error or type(error).__name__}.",
        "See the guest's console: jprobe-harness log last",
    )


def start(channel: paramiko.Channel, command: str, *, merged: bool = False) -> None:
    """
    Start a command line; with `merged`, its standard error goes to its standard output.

    A shell waits for it and reports a signal that ended it as status 128 + N.  The
    server itself would report a signal in a way that paramiko does not return as a status.
    """
    errors = " 2>&1" if merged else ""
    channel.exec_command(f"sh -c {shlex.quote(command)}{errors}; exit $?")


def status_of(channel: paramiko.Channel, seconds: float) -> int:
    """Return the status of a command that has closed its output; raise SshError without one."""
    if not channel.status_event.wait(seconds) or channel.exit_status < 0:
        raise SshError("The guest did not report the command's status.")
    return channel.exit_status
