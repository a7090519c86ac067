-- Rows go that now stand in a file: those that this transaction sees.
DELETE FROM rejection_row WHERE tenant_id = $1 AND day = $2
