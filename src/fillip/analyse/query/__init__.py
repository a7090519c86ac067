"""Read-only SQL over a tenant's own rows, in a process of its own: see record 56."""
