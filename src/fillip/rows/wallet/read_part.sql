-- What lots gave in one portion for a transfer. Locks nothing.
SELECT lots::text AS lots FROM wallet_part WHERE tenant_id = $1 AND transfer_id = $2 AND part = $3
