"""One request is one transaction of its tenant: authenticated first, answered once it is in force, and given again."""
