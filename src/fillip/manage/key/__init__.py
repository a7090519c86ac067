"""API keys: their form, and who a bearer is."""
