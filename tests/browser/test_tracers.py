# SPDX-License-Identifier: GPL-2.0-only
"""The page of tracers in a real browser: a sign for each cell, and behind it the bytes."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from harness.report.tracers import html, words
from harness.tracers.reading import Read
from harness.tracing.run import Tracing
from tests.browser.conftest import Opener
from tests.browser.test_page import CONTRAST, LEAST_CONTRAST
from tests.unit.traced import cell, every, tracing

WRONG = cell("kprobe", "stack-9", reads=[*[Read.RIGHT] * 8, Read.ANOTHER])
CELL = "#cell=debian%3A7.2%7Cfexit%7Cstruct-16-aligned"
TITLE = "debian:7.2: fexit x struct-16-aligned"


def written(folder: Path, *found: Tracing) -> Path:
    file = folder / "tracers.html"
    file.write_text(html.document(found))
    return file


@pytest.fixture(scope="session")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of two kernels, and of a third on which something is wrong."""
    odd = dataclasses.replace(tracing(WRONG, spec="debian:6.1"), errors=("No QEMU.",))
    return written(tmp_path_factory.mktemp("tracers"), every(), every("debian:6.12", (6, 12)), odd)


@pytest.fixture
def opened(watched: Opener, file: Path) -> Page:
    return watched(file).open()


def square(page: Page, label: str) -> str:
    """Return the sign of the first cell whose words begin so."""
    return page.get_by_role("link", name=label).first.inner_text()


def test_signs_can_be_read_without_colour(opened: Page) -> None:
    for label, sign in (
        ("kprobe, stack-8: right x8", "·"),
        ("kprobe, stack-12: right x8, zero x4", "0"),
        ("func-args, by-ref-24: right x1, an address x1, another's x1", "&?"),
        ("fexit, struct-16-aligned: right x9, another's x2; changed: argument 10", "?!"),
        ("kprobe, stack-9: right x8, another's x1, not as predicted", "≠?"),
    ):
        assert square(opened, label) == sign
    legend = opened.get_by_role("list", name="Legend")
    for kind, (sign, _) in words.SIGNS.items():
        expect(legend.get_by_role("listitem").filter(has_text=kind).first).to_contain_text(sign)


def test_a_cell_leads_to_its_bytes(opened: Page) -> None:
    label = re.compile("^fexit, struct-16-aligned: right x9, another's x2; changed")
    opened.get_by_role("link", name=label).click()
    panel = opened.get_by_role("region", name=TITLE)
    expect(panel).to_be_visible()
    assert opened.url.endswith(CELL)
    expect(panel).to_contain_text("changed: argument 10, as predicted")
    expect(panel.get_by_role("table")).to_have_count(11)
    last = panel.get_by_role("table").last
    expect(last).to_contain_text("argument 10, long: another's")
    for moment in ("as passed 0", "as read 0", "as the function saw it 0"):
        expect(last.get_by_role("rowheader", name=moment)).to_be_visible()
    # Eight octets were read wrongly, and eight arrived otherwise than they were passed.
    assert last.locator("mark").count() == 16
    assert last.locator("mark.wrong").count() == 8
    assert panel.get_by_role("table").first.locator("mark").count() == 0
    command = "jprobe-harness tracers --kernel debian:7.2 --tracer fexit --case struct-16-aligned"
    expect(panel).to_contain_text(command)


def test_a_link_to_a_cell_opens_it(watched: Opener, file: Path) -> None:
    page = watched(file).open(CELL)
    expect(page.locator("#cell-title")).to_have_text(TITLE)
    expect(page.locator("#cell-title")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.locator("#cell")).to_be_hidden()
    link = page.locator(f'a[href="{CELL}"]')
    expect(link).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#cell-title")).to_have_text(TITLE)
    page.get_by_role("button", name="close").click()
    expect(page.locator("#cell")).to_be_hidden()
    page.go_back()
    expect(page.locator("#cell-title")).to_have_text(TITLE)
    # A cell that is not there is none.
    page = watched(file).open("#cell=debian%3A7.2%7Cfexit%7Cnone")
    expect(page.locator("#cell")).to_be_hidden()


def test_what_was_refused_is_said(opened: Page) -> None:
    opened.get_by_role("link", name=re.compile("^fexit, by-ref-24: refused")).first.click()
    panel = opened.locator("#cell")
    expect(panel).to_contain_text("refused: an aggregate of more than 16 bytes, as predicted")
    expect(panel).to_contain_text("attach: ENOTSUPP")
    expect(panel.get_by_role("rowheader", name="as read 0")).to_have_count(0)


def test_what_is_wrong_is_said_first(opened: Page) -> None:
    listed = opened.get_by_role("region", name="Not as predicted")
    expect(listed).to_contain_text("argument 8 was read as another's, predicted zero")
    expect(opened.get_by_role("region", name="6.1.0-arm64").first).to_contain_text("No QEMU.")
    opened.get_by_role("link", name=re.compile("^kprobe, stack-9: .* not as predicted")).click()
    expect(opened.locator("#cell .bad")).to_contain_text("not as predicted")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("place", ["", CELL])
def test_it_can_be_read(watched: Opener, file: Path, scheme: str, place: str) -> None:
    page = watched(file, scheme=scheme).open(place)
    contrast, where = page.evaluate(LEAST_CONTRAST)
    assert contrast >= CONTRAST, where
    # The positive control.
    page.add_style_tag(content=".map a { color: #777 }")
    assert page.evaluate(LEAST_CONTRAST)[0] < CONTRAST


@pytest.mark.parametrize("width", [400, 1280])
def test_it_fits(watched: Opener, file: Path, width: int) -> None:
    page = watched(file, width=width).open(CELL)
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_what_a_screen_reader_has(opened: Page) -> None:
    expect(opened.get_by_role("heading", level=1)).to_have_count(1)
    table = opened.get_by_role("region", name="7.2.0-arm64").get_by_role("table").first
    expect(table.get_by_role("columnheader", name="fexit")).to_have_count(1)
    expect(table.get_by_role("rowheader", name="stack-12")).to_have_count(1)


def test_it_prints(opened: Page) -> None:
    assert opened.pdf().startswith(b"%PDF")
