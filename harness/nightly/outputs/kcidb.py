# SPDX-License-Identifier: GPL-2.0-only
"""A nightly run as KCIDB takes it: a checkout and a build for each kernel, a test for each cell."""

from __future__ import annotations

import datetime
import json
import re
from typing import Any

import jsonschema
from kcidb_io.schema import LATEST  # type: ignore[import-untyped]

from harness import printable
from harness.errors import InfrastructureError
from harness.nightly.night import Report
from harness.nightly.outputs.formats import tests
from harness.nightly.unit import Done, UnitKind
from harness.report.formats.testcase import Test

ORIGIN = "jprobe_harness"
PATH = "jprobe.stack"
TRACERS_PATH = "jprobe.tracers"
_LOG_MAX = 16384


def document(report: Report, origin: str = ORIGIN) -> bytes:
    """
    The nightly run in the schema that kcidb_io holds for the latest.

    `origin` names the CI system, in lower-case letters, digits and underscores.
    """
    found: dict[str, dict[str, Any]] = {"checkouts": {}, "builds": {}, "tests": {}}
    for done, groups in tests(report):
        build = _build(found, done, origin)
        for variant, cells in groups:
            for test in cells:
                entry = _test(report, done, build, variant, test, origin)
                found["tests"][entry["id"]] = entry
    data = {
        "version": {"major": LATEST.major, "minor": LATEST.minor},
        **{name: printable.strings(list(entries.values())) for name, entries in found.items()},
    }
    try:
        LATEST.validate(data)
    except jsonschema.ValidationError as error:
        raise InfrastructureError(
            f"KCIDB would not take the nightly run: {error.message}.", "Check --origin."
        ) from error
    return json.dumps(data, indent=2).encode() + b"\n"


def _build(found: dict[str, dict[str, Any]], done: Done, origin: str) -> str:
    release = done.facts.release if done.facts else done.kernel
    version = done.facts.version if done.facts else "unknown"
    checkout = f"{origin}:{release}-{version}"
    build = f"{checkout}-{done.compiler}"
    found["checkouts"][checkout] = {
        "id": checkout, "origin": origin, "comment": f"{done.kernel}: {release}, {version}",
        "valid": True,
    }  # fmt: skip
    compiler = done.facts.compiler if done.facts else ""
    entry = {
        "id": build,
        "checkout_id": checkout,
        "origin": origin,
        "architecture": "arm64",
        "comment": f"test modules for {release}",
        "status": "PASS" if done.facts else "FAIL",
        **({"compiler": compiler} if compiler else {}),
    }
    # A survey, which compiles nothing, is of the same kernel as the units before it.
    found["builds"].setdefault(build, entry)
    return build


def _test(
    report: Report, done: Done, build: str, variant: str, test: Test, origin: str
) -> dict[str, Any]:
    words = ".".join(_word(word) for word in (variant, test.name))
    started = int(report.night.started)
    path = TRACERS_PATH if done.kind is UnitKind.TRACERS else PATH
    entry: dict[str, Any] = {
        "id": f"{origin}:{started}-{report.night.id}-{done.unit}-{words}".replace(" ", "-"),
        "build_id": build,
        "origin": origin,
        "path": f"{path}.{words}",
        "status": _status(test),
        "start_time": _time(done.started),
        "environment": {"comment": _environment(done)},
        "misc": {"seen": test.seen, "repetition": done.repetition, "engine": _engine(done)},
    }
    if test.reasons:
        entry["log_excerpt"] = "\n".join(test.reasons)[:_LOG_MAX]
    return entry


def _status(test: Test) -> str:
    if test.error:
        return "ERROR"
    if test.reasons:
        return "FAIL"
    # It was played, and there is nothing to hold it against.
    return "DONE" if test.skipped else "PASS"


def _environment(done: Done) -> str:
    return f"QEMU {done.facts.qemu}" if done.facts and done.facts.qemu else "none"


def _engine(done: Done) -> str:
    return done.facts.engine if done.facts else ""


def _word(text: str) -> str:
    return re.sub(r"[^\w-]", "_", text, flags=re.ASCII)


def _time(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).isoformat()
