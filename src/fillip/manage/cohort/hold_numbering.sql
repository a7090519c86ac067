-- As lock_numbering.sql: how many users the tenant has numbered. Locks that count until the commit.
INSERT INTO user_numbering AS n (tenant_id) VALUES (:tenant_id)
ON CONFLICT (tenant_id) DO UPDATE SET numbered = n.numbered RETURNING numbered
