"""Each worked example of the rules' page is carried out as it says."""

from __future__ import annotations

import re

import pytest

from tests.conftest import ROOT
from tests.daemon.venue.examples import Example

PAGE = ROOT / "daemon" / "venue" / "README.md"


def examples():
    """Return each example with its heading."""
    heading = ""
    for part in re.split(
        r"(^#+ [^\n]*$|```tape\n.*?```)", PAGE.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL
    ):
        if part.startswith("#"):
            heading = part.lstrip("# ")
        elif part.startswith("```tape"):
            yield pytest.param(part.splitlines()[1:-1], id=heading)


@pytest.mark.parametrize("lines", list(examples()))
def test_an_example_of_the_rules_is_carried_out_as_it_says(lines):
    example = Example()
    shown = []
    for line in lines:
        step, _, told = line.partition("|")
        shown.append((line, told.strip(), example.run(step.strip())))
    assert [(line, reports) for line, _, reports in shown] == [(line, told) for line, told, _ in shown]


def test_the_page_has_examples_of_every_rule():
    assert len(list(examples())) >= 14
