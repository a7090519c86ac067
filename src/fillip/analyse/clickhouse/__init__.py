"""The facts in ClickHouse, for who has more than one DuckDB file should sum: see record 70."""
