"""Changes of a tenant's book, and when they are in force."""
