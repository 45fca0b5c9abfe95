# SPDX-License-Identifier: GPL-2.0-only
"""Requests that an SSH server closes the session of, without a server."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import paramiko
import pytest

from harness.vm import ssh
from harness.vm.ssh import Key, Ssh, SshError


class _Channel:
    """Closed by the server before the request is heard, or not."""

    def __init__(self, heard: bool) -> None:
        self.heard, self.closed = heard, False

    def exec_command(self, command: str) -> None:
        if not self.heard:
            raise paramiko.SSHException("Channel closed.")

    def __enter__(self) -> _Channel:
        return self

    def __exit__(self, *exception: object) -> None:
        self.closed = True


def _client(
    monkeypatch: pytest.MonkeyPatch, channels: Sequence[_Channel | None], *, gone: bool = False
) -> Ssh:
    """
    One whose connection the server has ended; `gone`: and nobody listens any more.

    None stands for a session that is closed before it is known to be open.
    """
    made = Ssh(1, Key().public.split()[1], Path("key"))
    left = iter(channels)

    def open_session() -> _Channel:
        channel = next(left)
        if channel is None:
            raise paramiko.SSHException("Unable to open channel.")
        return channel

    monkeypatch.setattr(made, "_session", open_session)

    def connect() -> None:
        if gone:
            raise OSError("Connection refused.")
        transport = SimpleNamespace(is_active=lambda: True)
        monkeypatch.setattr(made._client, "get_transport", lambda: transport)

    monkeypatch.setattr(made, "_connect", connect)
    return made


def test_it_is_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    channels = [_Channel(False), _Channel(False), _Channel(True)]
    client = _client(monkeypatch, [None, *channels])
    heard: Any = client.request(lambda one: ssh.start(one, "true"))
    assert heard is channels[2]
    assert [one.closed for one in channels] == [True, True, False]


def test_it_is_not_made_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    channels = [_Channel(False) for _ in range(ssh.REQUESTS + 2)]
    client = _client(monkeypatch, channels)
    with pytest.raises(SshError, match="Channel closed"):
        client.request(lambda one: ssh.start(one, "true"))
    assert [one.closed for one in channels] == [True] * (ssh.REQUESTS + 1) + [False]


def test_nothing_is_asked_of_a_connection_that_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    client = _client(monkeypatch, [_Channel(False)], gone=True)
    with pytest.raises(SshError, match="Channel closed"):
        client.request(lambda one: ssh.start(one, "true"))
