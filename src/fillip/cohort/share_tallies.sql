-- Who adds to the tallies of these tenants has them together, and so reads of the ledger what a reversal that comes later reads too.
-- Locks them, shared, in the order given.
SELECT pg_advisory_xact_lock_shared(hashtextextended(tenant_id, 64020183)) FROM unnest($1::text[]) AS t (tenant_id)
