-- All that lots gave later for a transfer, by transfer. Locks nothing.
SELECT * FROM wallet_part ORDER BY tenant_id, transfer_id, part
