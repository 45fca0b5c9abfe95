# SPDX-License-Identifier: GPL-2.0-only
"""The archive format, read back by its description."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from harness.guest import cpio


def read(data: bytes) -> list[tuple[str, int, bytes]]:
    entries: list[tuple[str, int, bytes]] = []
    offset = 0
    while True:
        assert data[offset : offset + 6] == b"070701"
        fields = [int(data[offset + 6 + 8 * i : offset + 14 + 8 * i], 16) for i in range(13)]
        mode, size, length = fields[1], fields[6], fields[11]
        name = data[offset + 110 : offset + 110 + length - 1].decode()
        assert data[offset + 109 + length] == 0
        offset += -(-(110 + length) // 4) * 4
        content = data[offset : offset + size]
        offset += -(-size // 4) * 4
        if name == "TRAILER!!!":
            assert offset == len(data)
            return entries
        entries.append((name, mode, content))


names = st.text("abcdefghij/", min_size=1, max_size=30)


@given(st.lists(st.tuples(names, st.binary(max_size=50))))
def test_what_goes_in_comes_out(files: list[tuple[str, bytes]]) -> None:
    entries = [cpio.file(name, content) for name, content in files]
    expected = [(name, 0o100644, content) for name, content in files]
    assert read(cpio.archive(entries)) == expected


def test_modes() -> None:
    made = [
        cpio.directory("bin"),
        cpio.file("bin/sh", b"x", executable=True),
        cpio.character_device("dev/console", 5, 1),
    ]
    modes = [mode for _, mode, _ in read(cpio.archive(made))]
    assert modes == [0o040755, 0o100755, 0o020600]
