-- How much lots gave in each portion for a transfer. Locks nothing.
SELECT part, amount FROM wallet_part WHERE tenant_id = $1 AND transfer_id = $2 ORDER BY part
