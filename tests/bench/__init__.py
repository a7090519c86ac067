"""Speed, on real servers: `python -m tests.bench [worker] [http] [rules] [ledger]`."""
