"""The page of a backtest in a real browser: opens from a file, fits wide and narrow, shows values."""

from __future__ import annotations

import pytest

from tests.replay.page.test_page import report_of
from tests.replay.recordings import instrument, trade, write_journal

OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


@pytest.fixture
def url(tmp_path):
    from replay.page import page  # noqa: PLC0415  # `page` is the browser's tab here.

    data = write_journal(tmp_path / "data", [instrument()], [trade(n) for n in range(2_000)])
    path = tmp_path / "report.html"
    path.write_text(page(*report_of(data)), encoding="utf-8")
    return path.as_uri()


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_a_report_fits_the_window_and_asks_for_nothing(url, page, width, scheme):
    await page.open(url, width=width, scheme=scheme)
    assert await page.run(OVERFLOW) <= 0
    assert await page.run("document.querySelectorAll('figure svg').length") == 6
    assert await page.run("performance.getEntriesByType('resource').length") == 0
    ground, text = await page.run(
        "(() => { const style = getComputedStyle(document.body);"
        " return [style.backgroundColor, style.color] })()"
    )
    dark = scheme == "dark"
    assert (_brightness(ground) < _brightness(text)) is dark


async def test_the_value_under_the_pointer_is_shown(url, page):
    await page.open(url)
    shown = await page.run(
        "(() => { const plot = document.querySelector('[data-line]');"
        " const box = plot.querySelector('svg').getBoundingClientRect();"
        " plot.dispatchEvent(new PointerEvent('pointermove', {clientX: box.left + 1, clientY: box.top + 1}));"
        " return plot.querySelector('.tip').textContent })()"
    )
    assert shown == "2023-11-14 22:13:20  100,000"


def _brightness(colour: str) -> int:
    return sum(int(part) for part in colour.removeprefix("rgb(").removesuffix(")").split(","))
