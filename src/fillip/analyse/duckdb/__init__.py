"""The facts in one DuckDB file: how they are loaded, and the reports over them."""
