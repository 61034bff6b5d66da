"""What every page is made of: one HTML file with its style and script in it, that may ask for nothing."""

from __future__ import annotations

from html import escape
from importlib.resources import files

_TEMPLATE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; \
script-src 'unsafe-inline'; img-src data:">
<link rel="icon" href="data:,">
<title>{title}</title>
<style>
{style}</style>
</head>
<body>
<main>
{body}
</main>
<script type="application/json" id="lines">{lines}</script>
<script>
{script}</script>
</body>
</html>
"""


def whole(title: str, body: str, lines: str) -> str:
    """Return a page.

    Args:
        title: as text.
        body: as HTML.
        lines: the values of its charts, as `Drawn.json` gives them.
    """
    own = files(__package__)
    return _TEMPLATE.format(
        title=escape(title),
        style=own.joinpath("style.css").read_text(encoding="utf-8"),
        script=own.joinpath("script.js").read_text(encoding="utf-8"),
        lines=lines,
        body=body,
    )
