-- Rows go that now stand in a file: those that this transaction sees.
DELETE FROM reversal_row WHERE tenant_id = $1 AND day = $2
