# SPDX-License-Identifier: GPL-2.0-only
"""Requests that an SSH server closes the session of, without a server."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import paramiko
import pytest

from harness.vm import ssh
from harness.vm.ssh import Key, Ssh, SshError


class _Channel:
    """Closed by the server before the request is heard, or not."""

    def __init__(self, heard: bool, active: bool = True) -> None:
        self.heard, self.closed, self._active = heard, False, active

    def exec_command(self, command: str) -> None:
        if not self.heard:
            raise paramiko.SSHException("Channel closed.")

    def get_transport(self) -> Any:
        return SimpleNamespace(is_active=lambda: self._active)

    def close(self) -> None:
        self.closed = True


def _client(monkeypatch: pytest.MonkeyPatch, channels: list[_Channel]) -> Ssh:
    made = Ssh(1, Key().public.split()[1], Path("key"))
    left = iter(channels)
    monkeypatch.setattr(made, "_session", lambda: next(left))
    return made


def test_it_is_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    channels = [_Channel(False), _Channel(False), _Channel(True)]
    client = _client(monkeypatch, channels)
    assert client.request(lambda one: ssh.start(one, "true")) is channels[2]  # type: ignore[comparison-overlap]
    assert [one.closed for one in channels] == [True, True, False]


def test_it_is_not_made_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    channels = [_Channel(False) for _ in range(ssh.REQUESTS + 2)]
    client = _client(monkeypatch, channels)
    with pytest.raises(SshError, match="Channel closed"):
        client.request(lambda one: ssh.start(one, "true"))
    assert [one.closed for one in channels] == [True] * (ssh.REQUESTS + 1) + [False]


def test_nothing_is_asked_of_a_connection_that_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    client = _client(monkeypatch, [_Channel(False, active=False)])
    with pytest.raises(SshError, match="Channel closed"):
        client.request(lambda one: ssh.start(one, "true"))
