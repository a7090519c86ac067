-- Has a tenant's limits alone: batches that came before are settled then, and those behind wait until the end of the transaction.
SELECT hold_limits($1)
