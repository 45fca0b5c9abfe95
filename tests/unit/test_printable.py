# SPDX-License-Identifier: GPL-2.0-only
"""What came from outside is seen, and obeyed by nobody, in whatever form it is reported."""

from __future__ import annotations

import dataclasses
import enum
import html
import io
import json
import re
import sys
import unicodedata
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from harness import cli, printable
from harness.commands import log, nightly_outputs, output
from harness.commands.repro import outputs
from harness.errors import ConfigError, Exit, HarnessError
from harness.guest.protocol import Parser
from harness.guest.records import DamagedRecord
from harness.guest.splat import Splat, SplatKind, scan
from harness.model.assumed import RecordPosition, lay_out
from harness.model.policy import Policy, Rule, Variant
from harness.nightly import night
from harness.nightly.outputs import html as page
from harness.nightly.outputs import mail, summary
from harness.report import layout_report, patch_report, stack_picture, terminal
from harness.run.result import Comparison, Unjudged
from tests.records import Line, joined
from tests.unit.factory import case
from tests.unit.test_reports import result

# Each control character, and one of each kind of invisible character.
HOSTILE = "".join(
    (
        *map(chr, (*range(32), *range(127, 160))),
        "\x1b]52;c;ZXZpbA==\x07\x1b[2J\x1b[6n\x9b6n\r",
        "\u202a\u202e\u2066\u2069\u200b\u200e\u061c\u00ad\ufeff\u2028\u2029\u2060\ufff9",
        "\u034f\u115f\u3164\ufe0f\U000e0041\U000e0100\ue000",
    )
)
FORBIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def check(text: str) -> None:
    """Check that newlines and tabs are the only characters that are not visible."""
    assert not FORBIDDEN.search(text)
    unseen = {c for c in text if c not in "\n\t" and not printable.is_seen(c)}
    assert not unseen
    # is_seen() itself is compared with Unicode's categories.
    assert not {c for c in text if unicodedata.category(c) in ("Cf", "Cs", "Zl", "Zp")}


def poisoned(value: Any) -> Any:
    """Return a value with HOSTILE at the end of each text in it."""
    if isinstance(value, enum.Enum):
        return value
    if isinstance(value, str):
        return f"{value}{HOSTILE}"
    if isinstance(value, tuple):
        parts = map(poisoned, value)
        # A named tuple.
        return value._make(parts) if hasattr(value, "_make") else tuple(parts)
    if isinstance(value, list):
        return list(map(poisoned, value))
    if isinstance(value, dict):
        return {poisoned(key): poisoned(item) for key, item in value.items()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {f.name: poisoned(getattr(value, f.name)) for f in dataclasses.fields(value)}
        return dataclasses.replace(value, **fields)
    if isinstance(value, msgspec.Struct):
        return type(value)(**{n: poisoned(getattr(value, n)) for n in value.__struct_fields__})
    return value


@pytest.mark.parametrize("character", HOSTILE)
def test_each_is_seen(character: str) -> None:
    for text in (printable.shown(f"a{character}b"), printable.line(f"a{character}b")):
        check(text)
        assert text.startswith("a")
        assert text.endswith("b")
        assert len(text) > 2
    assert printable.line(f"{character}").isprintable()


def test_what_is_seen_is_left_alone() -> None:
    text = "K\u00e4se \u4e2d \u05d0\u05d1 \u2260 \u00b7 e\u0301 \u00a0 \u3000 \U0001f600\n\t\\x1b"
    assert printable.shown(text) == text
    assert printable.line("a\r\nb\tc") == "a b c"
    assert printable.shown("a\r\nb\rc\udc80") == "a\nb\\rc\\udc80"
    assert printable.shown(printable.shown(HOSTILE)) == printable.shown(HOSTILE)


def test_json_says_the_same() -> None:
    document = {HOSTILE: [HOSTILE, 1, None, "\u4e2d\U000e0041"]}
    text = output.as_json(document).decode()
    check(text)
    assert json.loads(text) == document


def splat() -> Splat:
    return Splat(SplatKind.WARNING, "WARNING: at", 1, ["WARNING: at", "Call trace:"])


@pytest.fixture
def ran() -> Any:
    sound = result(broken=True, missing=1, kernel=("WARNING: the kernel",), own=("a tool",))
    first, *others = sound.outcomes
    first = dataclasses.replace(first, errors=("WARNING: at",), splats=(splat(),))
    return poisoned(dataclasses.replace(sound, outcomes=(first, *others), retried=("failed",)))


def forms(made: Any, outputs: Any) -> Iterator[tuple[str, str]]:
    for one in outputs:
        yield one.name, one.make(made).decode()


def decoded(name: str, text: str) -> Iterator[str]:
    """Yield the texts that a reader of the form gets."""
    if name == "junit":
        for element in ElementTree.fromstring(text).iter():
            yield from (element.text or "", *element.attrib.values())
    elif name == "html":
        data = re.search(r'<script type="application/json" id="data">(.*?)</script>', text)
        assert data
        yield from texts(json.loads(html.unescape(data[1])))


def texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for item in (*value, *(value.values() if isinstance(value, dict) else ())):
            yield from texts(item)


def test_every_form_of_a_run(ran: Any) -> None:
    unjudged = Unjudged(poisoned("tree"), poisoned("git says"), poisoned("rebase"), Exit.UNJUDGED)
    comparison = Comparison((ran, ran), (unjudged,), None)
    found = [*forms(ran, outputs.OUTPUTS), *forms(comparison, outputs.OUTPUTS)]
    found += forms(dataclasses.replace(comparison, unjudged=()), outputs.PATCH_OUTPUTS)
    found.append(("json", output.as_json(layout_report.document({poisoned("gcc"): ran})).decode()))
    made = case("arguments: [9 x long]")
    variant = Variant(poisoned("mine"), Policy(Rule.NONE), "", "")
    found.append(("svg", stack_picture.svg(made, [variant], *lay_out(made, RecordPosition.BELOW))))
    asked = [*outputs.OUTPUTS, *outputs.OUTPUTS, *outputs.PATCH_OUTPUTS]
    assert [name for name, _ in found] == [*(one.name for one in asked), "json", "svg"]
    for name, text in found:
        check(text)
        for part in decoded(name, text):
            check(part)
        assert "\\u202e" in text, name


def test_no_line_of_ktap_is_the_guests(ran: Any) -> None:
    injected = dataclasses.replace(ran, release="6.1\nok 1 all # SKIP", spec="x # SKIP y")
    for made in (
        injected,
        Comparison((injected,), (Unjudged("y # SKIP", "a\nb", "", Exit.UNJUDGED),), None),
    ):
        text = next(text for name, text in forms(made, outputs.OUTPUTS) if name == "ktap")
        assert "SKIP" in text
        assert not re.search(r"^\s*(not )?ok \d+.*#", text, re.MULTILINE)
        assert not re.search("^ok 1 all", text, re.MULTILINE)


def test_every_form_of_a_nightly_run(report: night.Report) -> None:
    bad = poisoned(report)
    found = [
        (name, text)
        for name, text in forms(
            nightly_outputs.Contents(bad, page.Past([], []), ""), nightly_outputs.OUTPUTS
        )
    ]
    failure = Exception(poisoned("a failure"))
    failure.add_note(poisoned("and another"))
    found += [("mail", mail.text(bad, failure)), ("mail", mail.failed(poisoned("x"), failure))]
    assert {name for name, _ in found} == {one.name for one in nightly_outputs.OUTPUTS}
    for name, text in found:
        check(text)
        for part in decoded(name, text):
            check(part)
        assert "\\u202e" in text, name
    assert mail.failed("x\nBcc: all@example.org", None).count("\n") == 1


def test_every_table_on_a_terminal(
    ran: Any,
    report: night.Report,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class OnTerminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    comparison = Comparison(
        (ran, ran), (Unjudged(poisoned("t"), poisoned("s"), poisoned("h"), Exit.UNJUDGED),), None
    )
    printed_in_guest = [line for o in ran.outcomes for line in terminal.lines(o, 80)]
    shows: list[Callable[[], object]] = [
        lambda: terminal.print_result(ran),
        lambda: terminal.print_result(ran, True),
        lambda: outputs.show(comparison, True),
        lambda: patch_report.print_patch(dataclasses.replace(comparison, unjudged=()), True),
        lambda: layout_report.print_layouts({poisoned("gcc"): ran}),
        lambda: summary.show(poisoned(report), True),
        lambda: printable.unguarded(sys.stdout).writelines(printed_in_guest),
        lambda: print(poisoned("printed by anybody")),
        lambda: print(poisoned("printed by anybody"), file=sys.stderr),
    ]
    for colours in ("", "1"):
        for show in shows:
            out = OnTerminal() if colours else io.StringIO()
            with monkeypatch.context() as patched:
                patched.setenv("TERM", "xterm")
                for name in ("stdout", "stderr"):
                    patched.setattr(sys, name, out)
                with printable.guarded_streams():
                    show()
            text = out.getvalue()
            assert "\\x" in text
            check(re.sub(r"\x1b\[[0-9;]*m", "", text))


def test_a_name_on_a_progress_bar_is_no_markup(monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.StringIO()
    monkeypatch.setattr(out, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stderr", out)
    with terminal.progress() as bars:
        bars.add_task("/tmp/[/x] [red]\x1b]0;t\x07", total=1)
    assert "[/x] [red]" in out.getvalue()
    assert "\x1b]" not in out.getvalue()


def test_every_error(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    error = ConfigError(poisoned("git says"), poisoned("ask"))
    for text in (error.sentence, error.hint, str(error)):
        check(text)

    def run(options: object) -> int:
        bad = HarnessError(poisoned("make says"), poisoned("ask"))
        bad.add_note(poisoned("then"))
        raise bad

    monkeypatch.setattr(cli.COMMANDS["list"], "run", run)
    assert cli.main(["list", "cases"]) == 3
    with pytest.raises(SystemExit):
        cli.main([f"--\x1b[2J\u202e{HOSTILE}"])
    check(capsys.readouterr().err)


def test_what_enters_from_the_guest() -> None:
    bad = HOSTILE.replace("\n", "").encode()
    (found,) = scan([f"[ 1.0] WARNING: at {bad.decode()}"])
    check(f"{found.title}{found.lines}")
    parser = Parser()
    sizes = {"thread_size": 4096, "irq_stack_size": 4096, "cases": 1}
    parser.feed(joined([Line("guest", sizes, {"release": b"6.1"})]))
    for text in (bad, bad.decode("ascii", "ignore").encode() + b"."):
        play = Line("play", {"seq": 1}, {"line": b"stack-9 none 0"})
        (refused,) = parser.feed(joined([play, Line("error", {}, {"text": text})]))
        assert isinstance(refused, DamagedRecord)
        check(refused.sentence)
        assert "text=" in refused.sentence


def test_a_log_is_raw_unless_it_goes_to_a_terminal(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "console-1.log").write_bytes(raw := b"12:00 " + poisoned("x").encode() + b"\xff\n")
    log._print_part(tmp_path, "console")
    assert capfdbinary.readouterr().out == raw
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    log._print_part(tmp_path, "console")
    check(capfdbinary.readouterr().out.decode())


def test_what_a_users_file_says() -> None:
    assert case('arguments: [long]\nshows: "a\\e[2Jb\\nc"').shows == "a\\x1b[2Jb c"
