"""The tables that the control plane reads and writes, as SQLAlchemy knows them (a test compares): a file a noun."""
