-- How many users the tenant has numbered. Locks that count until the commit: numbers are given one list after the other.
INSERT INTO user_numbering AS n (tenant_id) VALUES ($1)
ON CONFLICT (tenant_id) DO UPDATE SET numbered = n.numbered RETURNING numbered
