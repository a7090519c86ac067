-- The amounts of transfers that were made before. Locks nothing.
SELECT t.transfer_id, t.amount
FROM unnest($1::text[], $2::uuid[]) AS asked (tenant_id, transfer_id)
JOIN wallet_transfer t USING (tenant_id, transfer_id)
