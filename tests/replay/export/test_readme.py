"""The page about exports draws the tables that are written."""

from __future__ import annotations

from replay.export.tables import RUN_TABLES, TABLES


def test_every_table_and_column_stands_on_the_page(project_root):
    page = (project_root / "replay" / "export" / "README.md").read_text()
    for table in (*TABLES.values(), *RUN_TABLES.values()):
        rows = [
            f"| `{column.name}` | {column.kind.name.lower()} | {column.doc} |" for column in table.columns
        ]
        doc = f"{table.doc[0].upper()}{table.doc[1:]}."
        expected = [f"### {table.name}", "", doc, "", "| column | holds | is |", "|---|---|---|", *rows]
        assert "\n".join(expected) in page
