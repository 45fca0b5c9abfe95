# SPDX-License-Identifier: GPL-2.0-only
"""Pages of nightly runs, and a browser that notices whatever goes wrong."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import (
    Browser,
    ConsoleMessage,
    Page,
    Request,
    ViewportSize,
    sync_playwright,
)

from harness.errors import Exit
from harness.nightly import compare
from harness.nightly.database.migrate import parsed
from harness.nightly.night import Report
from harness.nightly.outputs import html
from harness.nightly.outputs.html import Past
from harness.nightly.store import NightlyRun
from harness.nightly.unit import Cell, Picture, Unit, UnitEnvironment, UnitKind, result
from tests.nightly.test_night import play, sabotaged, written

# A hundred thousand cells.
KERNELS, VARIANTS, CASES = 10, 10, 1000
SEEN = ("intact", "leak 8", "by-ref 24", "rollback 16", "overflow 256", "skipped", "missed")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--screenshot", type=Path, help="write the picture that the README shows")


@pytest.fixture(scope="session")
def night(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a real nightly run in which a policy saves less than it should."""
    folder = tmp_path_factory.mktemp("night")
    file = written(
        folder, kernels=["debian:6.1"], cases=[], variants=[], cost={"growth": 2}, survey=True
    )
    url = f"sqlite:///{folder}/history.sqlite"
    for words in ((), ("--accept", "the first one")):
        status, reported, _ = play(file, url, *words)
        assert status == Exit.AGREES, reported
    project = sabotaged(folder / "project")
    page = folder / "night.html"
    status, reported, _ = play(file, url, "--html", str(page), project=project)
    assert status == Exit.DIFFERS, reported
    return page


@pytest.fixture(scope="session")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a made-up nightly run with a hundred thousand cells."""
    facts = UnitEnvironment(
        release="6.1", version="1", key="k", engine="port", compiler="gcc", qemu="7", harness="0"
    )
    variants = [f"variant-{number}" for number in range(VARIANTS)]
    units, results = [], []
    for kernel in range(KERNELS):
        unit = Unit(
            kernel=f"debian:{kernel}",
            compiler="gcc",
            kind=UnitKind.CELLS,
            variants=variants,
            deadline=60,
        )
        cells = [
            _cell(variant, number, SEEN[(number + index + kernel) % len(SEEN)])
            for number in range(CASES)
            for index, variant in enumerate(variants)
        ]
        units.append(unit)
        results.append(
            result(unit, 0.0, 1.0, facts=facts, cells=cells, planned=len(cells), played=len(cells))
        )
    now = NightlyRun(id=1, name="n", matrix="m", shows="a large one", started=0, ended=1)
    report = Report(now, tuple(units), results, None, None, 0, compare.regressions(results, None))
    page = tmp_path_factory.mktemp("large") / "night.html"
    page.write_text(html.document(report, Past([now], [results])))
    return page


def _cell(variant: str, number: int, seen: str) -> Cell:
    _, classes = parsed(seen)
    return Cell(
        variant=variant, case=f"case-{number:04}", classes=classes, agrees=number % 97 != 0,
        reasons=["made up"], damage={}, looks={"area": {"before": f"{number:016x}"}},
        picture=Picture(parts=[(0, 8, "argument 8")], saved=0, corrupt=[]),
    )  # fmt: skip


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    path = shutil.which("chromium")
    assert path, "jprobe-harness doctor --install --tests"
    # Chromium's own sandbox does not run as root.
    words = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=path, args=words)
        yield running
        running.close()


class Watched:
    """A page in the browser, and the errors that were seen in it."""

    def __init__(self, page: Page, file: Path) -> None:
        self.page = page
        self.wrong: list[str] = []
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.wrong.append(str(error)))
        page.on("request", self._request)
        self.url = file.as_uri()

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.wrong.append(message.text)

    def _request(self, request: Request) -> None:
        if not request.url.startswith(("file:", "data:")):
            self.wrong.append(f"asked for {request.url}")

    def open(self, place: str = "") -> Page:
        self.page.goto(f"{self.url}{place}")
        return self.page


Opener = Callable[..., Watched]


@pytest.fixture
def watched(browser: Browser) -> Iterator[Opener]:
    """Yield a function that opens files; fail at the end if any of them had an error."""
    opened: list[Watched] = []

    def make(
        file: Path, *, width: int = 1440, scheme: Literal["light", "dark"] = "light"
    ) -> Watched:
        viewport = ViewportSize(width=width, height=1000)
        page = browser.new_page(viewport=viewport, color_scheme=scheme)
        page.set_default_timeout(10_000)
        opened.append(Watched(page, file))
        return opened[-1]

    yield make
    for one in opened:
        one.page.close()
        assert one.wrong == []


@pytest.fixture
def night_page(watched: Opener, night: Path) -> Page:
    return watched(night).open()
