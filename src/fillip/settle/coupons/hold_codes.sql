-- Locks the adding of codes to a tenant's pools ($1) until the transaction ends.
SELECT hold_codes($1)
