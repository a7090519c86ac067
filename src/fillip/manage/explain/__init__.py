"""Why and why not: of a decision as recorded, and of any event as everything stands."""
