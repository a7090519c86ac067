-- The holdout of a tenant: so many percent of its users get nothing. Locks the table of tenants for a moment.
ALTER TABLE tenant ADD COLUMN holdout_percent integer NOT NULL DEFAULT 0
    CONSTRAINT tenant_holdout_percent_check CHECK (holdout_percent BETWEEN 0 AND 50);
