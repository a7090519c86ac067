"""The routers: each parses a request, calls the rooms of its nouns, and answers."""
