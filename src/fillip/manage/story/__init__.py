"""The story of one event: when it was seen, what came of it, and why each campaign that looks at it gave what it gave."""
