"""Rows for SQL in Parquet files by kind, tenant and day, beside the facts; and how a user goes from both: see records 55 and 66."""
