"""Tables for pandas, polars and DuckDB, made from a journal."""
