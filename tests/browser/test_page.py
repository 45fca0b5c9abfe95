# SPDX-License-Identifier: GPL-2.0-only
"""The page of a nightly run in a real browser."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import CASES, KERNELS, VARIANTS, Opener

CELL = "#cell=debian%3A6.1+gcc%7Cfixed-128%7Cstack-25"
TITLE = "debian:6.1 gcc: fixed-128 x stack-25"
# Milliseconds within which a page seems to respond at once, with a margin for slow machines.
FIRST, AT_ONCE = 10_000, 1_000
ELEMENTS_MAX = 4_000
# The least contrast that WCAG 2.1 (1.4.3) requires of text.
CONTRAST = 4.5

# Finds the least contrast of any visible text, and that text.
LEAST_CONTRAST = """() => {
  const numbers = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const light = (colour) => {
    const [r, g, b] = numbers(colour).map((v) => {
      v /= 255;
      return v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (element) => {
    for (; element; element = element.parentElement) {
      const colour = getComputedStyle(element).backgroundColor;
      if ((numbers(colour)[3] ?? 1) > 0) return colour;
    }
    return "rgb(255, 255, 255)";
  };
  let least = [100, ""];
  for (const element of document.querySelectorAll("body *")) {
    const own = [...element.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
    const shown = element.checkVisibility() && !element.closest("svg, script, noscript, .hidden");
    if (!own || !shown) continue;
    const [a, b] = [light(getComputedStyle(element).color), light(ground(element))];
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (contrast < least[0]) least = [contrast, `${element.tagName}.${element.className}`];
  }
  return least;
}"""


def count(page: Page) -> int:
    words = page.get_by_role("status").inner_text()
    return int(re.sub(r"\D", "", words.partition(" of ")[0]))


def unfold(page: Page) -> None:
    """Show what is folded."""
    folded = page.locator("details")
    assert folded.count()
    folded.evaluate_all("all => all.forEach(one => { one.open = true; })")


def test_a_filter_leaves_what_was_asked_for(night_page: Page) -> None:
    everything = count(night_page)
    assert everything > 500
    night_page.get_by_role("searchbox").fill("stack-2")
    assert 0 < count(night_page) < everything
    headers = night_page.get_by_role("rowheader").all_inner_texts()
    cases = [name for name in headers if "stack" in name]
    assert all("stack-2" in name for name in cases)
    night_page.locator("#variant").select_option("fixed-128")
    night_page.locator("#kind").select_option("leak")
    night_page.get_by_role("checkbox").check()
    assert 0 < count(night_page) <= len(cases)
    # A filter is part of the address.
    night_page.reload()
    expect(night_page.locator("#variant")).to_have_value("fixed-128")
    expect(night_page.get_by_role("searchbox")).to_have_value("stack-2")
    night_page.get_by_role("button", name="all").click()
    expect(night_page.get_by_role("status")).to_contain_text(f"{everything:,} of {everything:,}")


def test_a_cell_is_opened_by_mouse(night_page: Page) -> None:
    night_page.get_by_role("searchbox").fill("stack-25")
    night_page.locator("[role=gridcell][title*='fixed-128, stack-25: leak 72']").click()
    panel = night_page.get_by_role("region", name=TITLE)
    expect(panel).to_be_visible()
    expect(panel).to_contain_text("leak 72, not as predicted, and not as accepted")
    expect(panel).to_contain_text("64 bytes were saved, predicted 128")
    for moment in ("before 0", "handler left 0", "arrived 0", "predicted 0"):
        expect(panel.get_by_role("rowheader", name=moment, exact=True).first).to_be_visible()
    # Eight words are as the handler left them, which was not predicted.
    assert panel.locator("mark.wrong").count() == 64
    picture = panel.get_by_role("img", name="The stack at the hit")
    expect(picture).to_have_accessible_name("The stack at the hit: saved 64 bytes")
    # All words but the eight that were saved arrived as the handler left them.
    assert picture.locator(".corrupt").count() == 9
    past = panel.get_by_role("img", name="since nightly run 1 leak 8, since nightly run 2 leak 72")
    expect(past).to_be_visible()
    expect(panel).to_contain_text(
        "jprobe-harness repro --kernel debian:6.1 --variant fixed-128 --case stack-25"
    )


def test_a_cell_is_opened_by_keyboard(night_page: Page) -> None:
    night_page.get_by_role("searchbox").fill("stack-")
    night_page.get_by_role("button", name="all").focus()
    night_page.keyboard.press("Tab")
    first = night_page.locator("[role=gridcell]:focus")
    expect(first).to_have_attribute("aria-colindex", "2")
    night_page.keyboard.press("ArrowDown")
    night_page.keyboard.press("ArrowRight")
    night_page.keyboard.press("End")
    columns = night_page.get_by_role("grid").get_attribute("aria-colcount")
    focused = night_page.locator("[role=gridcell]:focus")
    expect(focused).to_have_attribute("aria-colindex", columns or "")
    night_page.keyboard.press("Control+End")
    last = night_page.get_by_role("grid").get_attribute("aria-rowcount")
    focused = night_page.locator("[role=row]:has([role=gridcell]:focus)")
    expect(focused).to_have_attribute("aria-rowindex", last or "")
    night_page.keyboard.press("Enter")
    title = night_page.locator("#cell-title")
    expect(title).to_be_focused()
    name = title.inner_text()
    night_page.keyboard.press("Escape")
    expect(title).to_have_count(0)
    words = name.partition(": ")[2]
    expect(night_page.locator("[role=gridcell]:focus")).to_have_attribute(
        "title", re.compile(re.escape(words.replace(" x ", ", ")).split(":")[-1])
    )


def test_a_link_leads_to_its_cell_and_back(night_page: Page) -> None:
    night_page.get_by_text(re.compile(r"and \d+ more")).click()
    link = night_page.get_by_role("link", name="debian:6.1, fixed-128 x stack-25", exact=True)
    link.click()
    expect(night_page.locator("#cell-title")).to_have_text(TITLE)
    assert CELL in night_page.url
    night_page.go_back()
    expect(night_page.locator("#cell-title")).to_have_count(0)
    night_page.go_forward()
    expect(night_page.locator("#cell-title")).to_have_text(TITLE)


def test_what_a_screen_reader_has(watched: Opener, night: Path) -> None:
    page = watched(night).open(CELL)
    expect(page.get_by_role("grid", name="Every cell")).to_be_visible()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Nightly run 2")
    cells = page.get_by_role("gridcell").all()
    assert cells
    assert all(cell.get_attribute("aria-label") for cell in cells)
    expect(page.get_by_role("columnheader", name="debian:6.1 gcc, fixed-128")).to_be_visible()
    unnamed = page.locator("input, select, button, a").evaluate_all(
        "all => all.filter(e => !(e.textContent.trim() || e.labels?.length)).map(e => e.outerHTML)"
    )
    assert unnamed == []
    assert page.locator("[tabindex='0']").count() == 1


@pytest.mark.parametrize("width", [400, 1440])
def test_where_functions_take_their_arguments(watched: Opener, night: Path, width: int) -> None:
    page = watched(night, width=width).open()
    section = page.get_by_role("region", name="Where the kernels' functions take their arguments")
    expect(section.get_by_role("heading", level=2)).to_be_visible()
    kernels = section.get_by_role("table").first
    expect(kernels.get_by_role("rowheader", name="debian:6.1")).to_be_visible()
    worst = section.get_by_role("table", name="most bytes on the stack")
    expect(worst).to_be_hidden()
    section.get_by_text("debian:6.1: what each variant means").press("Enter")
    for name in ("what may come of a handler", "functions by bytes", "largest by reference"):
        expect(section.get_by_role("table", name=name)).to_be_visible()
    function = worst.get_by_role("rowheader", name="crush_choose_firstn")
    expect(function).to_be_visible()
    expect(worst).to_contain_text("int crush_choose_firstn(const struct crush_map *map, ")
    # A prototype is folded, as at no width there is room for one.
    box = worst.locator(".prototype").first.bounding_box()
    assert box and box["width"] <= width and box["height"] > 30


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_can_be_read(watched: Opener, night: Path, scheme: str) -> None:
    page = watched(night, scheme=scheme).open(CELL)
    unfold(page)
    contrast, where = page.evaluate(LEAST_CONTRAST)
    assert contrast >= CONTRAST, where
    # Text that is too pale is found.
    page.add_style_tag(content=".product { color: #888 !important; background: #777 !important }")
    contrast, where = page.evaluate(LEAST_CONTRAST)
    assert contrast < CONTRAST


@pytest.mark.parametrize("width", [400, 800, 1920])
def test_it_fits(watched: Opener, night: Path, width: int) -> None:
    page = watched(night, width=width).open(CELL)
    unfold(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_it_prints(watched: Opener, night: Path, large: Path) -> None:
    page = watched(night).open()
    assert page.pdf().startswith(b"%PDF")
    rows = int(page.get_by_role("grid").get_attribute("aria-rowcount") or 0)
    assert page.locator("#map [role=row]").count() < rows
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("#map [role=row]").count() == rows
    page = watched(large).open()
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    expect(page.locator("#print-note")).to_contain_text("filter it down to 5,000")
    expect(page.locator("#map")).to_be_hidden()
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    expect(page.locator("#map")).to_be_visible()


def test_a_hundred_thousand_cells(watched: Opener, large: Path) -> None:
    page = watched(large).open()
    assert count(page) == KERNELS * VARIANTS * CASES
    first = page.evaluate("performance.getEntriesByType('navigation')[0].domComplete")
    assert first < FIRST

    def took(script: str) -> float:
        """Run a script, and return the milliseconds until the next frame is drawn."""
        found: float = page.evaluate(
            f"""() => new Promise((done) => {{
              const start = performance.now();
              {script}
              requestAnimationFrame(() => setTimeout(() => done(performance.now() - start)));
            }})"""
        )
        return found

    typed = "new Event('input', {bubbles: true})"
    fill = f"filters.text.value = '99'; filters.text.dispatchEvent({typed});"
    assert took("map.scrollTo(500, 12000);") < AT_ONCE
    expect(page.get_by_role("rowheader", name="case-0510")).to_be_visible()
    assert page.locator("#map *").count() < ELEMENTS_MAX
    assert took(fill) < AT_ONCE
    assert count(page) == 19 * KERNELS * VARIANTS
    assert took("byId('odd').click();") < AT_ONCE
    assert took("location.hash = '#cell=debian:9+gcc|variant-9|case-0999';") < AT_ONCE
    expect(page.locator("#cell-title")).to_have_text("debian:9 gcc: variant-9 x case-0999")
    # A slow page is found to be slow.
    assert took(f"const end = performance.now() + {AT_ONCE}; while (performance.now() < end);") >= (
        AT_ONCE
    )


@pytest.mark.parametrize(
    ("event", "old", "new", "words"),
    [
        (
            "pageerror",
            '"use strict";',
            '"use strict"; noSuchThing();',
            "noSuchThing is not defined",
        ),
        (
            "console",
            "<header>",
            '<header><img src="https://example.org/x.png">',
            "Content Security Policy",
        ),
        (
            "console",
            "<header>",
            "<header><script src='https://example.org/x.js'></script>",
            "Content Security",
        ),
    ],
    ids=["error", "picture", "script"],
)
def test_what_goes_wrong_is_noticed(
    watched: Opener, night: Path, tmp_path: Path, event: str, old: str, new: str, words: str
) -> None:
    text = night.read_text()
    assert text.count(old) == 1
    broken = tmp_path / "broken.html"
    broken.write_text(text.replace(old, new))
    page = watched(broken)
    with page.page.expect_event(event):
        page.open()
    assert any(words in text for text in page.wrong), page.wrong
    page.wrong.clear()


def test_the_picture_of_the_readme(
    watched: Opener, night: Path, pytestconfig: pytest.Config, tmp_path: Path
) -> None:
    page = watched(night, width=1280).open(CELL)
    page.set_viewport_size({"width": 1280, "height": 960})
    page.evaluate("byId('map-title').scrollIntoView()")
    path = pytestconfig.getoption("screenshot") or tmp_path / "night.png"
    page.screenshot(path=path)
    assert Path(path).stat().st_size > 20_000
