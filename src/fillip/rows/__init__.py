"""SQL and rows that two rooms share."""
