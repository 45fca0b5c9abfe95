# SPDX-License-Identifier: GPL-2.0-only
"""The page of answers in a real browser: a reader's two questions are answered at first sight."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, ViewportSize, expect

from harness.answers import html
from tests import answers
from tests.browser.conftest import Opener
from tests.browser.test_page import CONTRAST, LEAST_CONTRAST

QUESTIONS = ("Is 128 enough?", "Is THREAD_SIZE safe?")
HEIGHT = 800


@pytest.fixture(scope="session")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of the result that the README's table is made from."""
    made = tmp_path_factory.mktemp("answers") / "answers.html"
    made.write_text(html.document(answers.page(answers.stored())))
    return made


def row(page: Page, question: str) -> Locator:
    return page.get_by_role("row").filter(has=page.get_by_role("link", name=question, exact=True))


def is_in_view(page: Page, found: Locator) -> bool:
    """Return whether all of an element is on the first screen."""
    box, screen = found.bounding_box(), page.viewport_size
    assert box and screen
    right, bottom = box["x"] + box["width"], box["y"] + box["height"]
    inside = box["x"] >= 0 and box["y"] >= 0 and right <= screen["width"]
    return inside and bottom <= screen["height"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1280])
def test_both_questions_are_answered_without_scrolling(
    watched: Opener, file: Path, width: int, scheme: str
) -> None:
    page = watched(file, width=width, scheme=scheme).open()
    page.set_viewport_size(ViewportSize(width=width, height=HEIGHT))
    assert page.evaluate("scrollY") == 0
    said = {question: words for question, *words in answers.page(answers.stored()).short}
    for question in QUESTIONS:
        found = row(page, question)
        for text in ("no: ", *said[question]):
            expect(found).to_contain_text(text)
        assert is_in_view(page, found), question
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    # What is pushed down is not in view.
    page.add_style_tag(content="header { margin-bottom: 700px }")
    assert not any(is_in_view(page, row(page, question)) for question in QUESTIONS)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_can_be_read(watched: Opener, file: Path, scheme: str) -> None:
    page = watched(file, scheme=scheme).open()
    contrast, where = page.evaluate(LEAST_CONTRAST)
    assert contrast >= CONTRAST, where


def test_a_question_leads_to_all_that_is_said_of_it(watched: Opener, file: Path) -> None:
    page = watched(file).open()
    page.get_by_role("link", name="Is THREAD_SIZE safe?", exact=True).click()
    section = page.get_by_role("region", name="Is THREAD_SIZE safe?")
    expect(section.get_by_role("heading")).to_be_in_viewport()
    for text in ("is undone without a trace", "6.1.0-56-cloud-arm64, gcc 12.2.0", "--variant"):
        expect(section).to_contain_text(text)
    assert page.url.endswith("#thread-size-safe")


def test_what_a_screen_reader_has(watched: Opener, file: Path) -> None:
    page = watched(file, width=400).open()
    expect(page.get_by_role("heading", level=1)).to_have_count(1)
    table = page.get_by_role("table").first
    for name in ("question", "answer", "measured"):
        expect(table.get_by_role("columnheader", name=name)).to_have_count(1)
    expect(table.get_by_role("rowheader")).to_have_count(len(table.get_by_role("link").all()))


def test_it_prints(watched: Opener, file: Path) -> None:
    assert watched(file).open().pdf().startswith(b"%PDF")
