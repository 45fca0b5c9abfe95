# SPDX-License-Identifier: GPL-2.0-only
"""Answers of GDB/MI are matched by token; a program of ours stands in for GDB."""

from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from harness.vm import gdb
from harness.vm.gdb import Gdb, GdbError, GdbSilent, attached

# Answers each command with what `answers` says, or with "done".
FAKE = """\
import sys, time
answers = {answers!r}
print("(gdb) ", flush=True)
for line in sys.stdin:
    token, _, command = line.strip().partition("-")
    number = "".join(c for c in token if c.isdigit())
    for words in answers.get(command.split(" ")[0], ["TOKEN^done"]):
        if words == "sleep":
            time.sleep(0.5)
        elif words == "exit":
            sys.exit(3)
        else:
            print(words.replace("TOKEN", number), flush=True)
"""

Fake = Callable[..., AbstractContextManager[Gdb]]


class Line:
    """A stand-in for a guest, whose output is read as it comes."""

    def __init__(self) -> None:
        self.ours, self.theirs = socket.socketpair()
        self.heard = b""

    def fileno(self) -> int:
        return self.ours.fileno()

    def look(self) -> bool:
        data = self.ours.recv(4096)
        self.heard += data
        return bool(data)


@pytest.fixture
def line() -> Iterator[Line]:
    line = Line()
    with line.ours, line.theirs:
        yield line


@pytest.fixture
def fake(tmp_path: Path, line: Line) -> Fake:
    def make(**answers: list[str]) -> AbstractContextManager[Gdb]:
        named = {name.replace("_", "-"): words for name, words in answers.items()}
        path = tmp_path / "gdb.py"
        path.write_text(FAKE.format(answers=named))
        return attached(tmp_path / "stub", line, (sys.executable, str(path)))

    return make


def test_an_answer_is_known_by_its_token(fake: Fake) -> None:
    """This holds whatever comes before it, and however late it is."""
    before = ['=thread-created,id="1"', '~"hello"', '1^done,value="wrong"', "sleep"]
    with fake(data_read_memory_bytes=[*before, 'TOKEN^done,memory=[{contents="0a0b"}]']) as it:
        assert it.memory(0, 2) == b"\x0a\x0b"


def test_an_answer_is_not_waited_for_longer_than_it_takes(
    fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The library waits for a time-out whatever comes; it is not left to wait."""
    waits: list[float] = []
    with fake() as it:
        read = it._controller.get_gdb_response

        def spy(seconds: float, **options: bool) -> object:
            waits.append(seconds)
            return read(seconds, **options)

        monkeypatch.setattr(it._controller, "get_gdb_response", spy)
        it.execute("-gdb-version")
    assert waits
    assert set(waits) == {0}


def test_a_stop_before_the_answer_is_kept(fake: Fake) -> None:
    stop = '*stopped,reason="breakpoint-hit",bkptno="1"'
    with fake(exec_continue=[stop, "TOKEN^running"]) as it:
        it.resume()
        it.wait_stop(5)


def test_no_stop_in_time(fake: Fake) -> None:
    with fake() as it, pytest.raises(GdbSilent, match="did not stop within"):
        it.wait_stop(0.2)


def test_a_stop_for_another_reason(fake: Fake) -> None:
    with fake(exec_continue=["TOKEN^running", '*stopped,reason="exited"']) as it:
        it.resume()
        with pytest.raises(GdbError, match="The guest stopped for exited"):
            it.wait_stop(5)


def test_an_error_is_one_sentence(fake: Fake) -> None:
    with fake(break_delete=['TOKEN^error,msg="No breakpoint number 7."']) as it:
        with pytest.raises(GdbError) as caught:
            it.delete([7])
        assert caught.value.sentence == "GDB cannot do '-break-delete 7': No breakpoint number 7."


def test_a_silent_gdb(fake: Fake) -> None:
    with fake(exec_interrupt=["=nothing"]) as it, pytest.raises(GdbError, match="did not answer"):
        it.execute("-exec-interrupt", 0.3)


def test_a_gdb_that_ends(fake: Fake) -> None:
    with fake(gdb_version=["exit"]) as it, pytest.raises(GdbError, match="ended with status 3"):
        it.execute("-gdb-version")


def test_a_gdb_that_is_not_there(tmp_path: Path, line: Line) -> None:
    missing = attached(tmp_path, line, ("no-such-gdb",))
    with pytest.raises(GdbError, match="no-such-gdb is not installed"), missing:
        pass


def test_a_guest_that_says_much(fake: Fake, line: Line) -> None:
    """If its output was not read, the guest would block and never stop."""
    said = b"Unable to handle kernel NULL pointer" * 20000

    def say() -> None:
        line.theirs.sendall(said)

    with fake() as it:
        guest = threading.Thread(target=say)
        guest.start()
        with pytest.raises(GdbSilent):
            it.wait_stop(1)
        guest.join(5)
        assert line.heard == said


def test_a_guest_that_ends(fake: Fake, line: Line) -> None:
    """In that case GDB may stay silent."""
    with fake() as it:
        line.theirs.close()
        with pytest.raises(GdbError, match="QEMU has ended"):
            it.wait_stop(20)


def test_it_is_gone_on_exit(fake: Fake) -> None:
    with fake() as it:
        process = it._controller.gdb_process
        assert process
    assert process.poll() is not None
    assert gdb.GDB == "gdb-multiarch"
