-- What the operator allows a tenant, and what it has taken of the quotas that are not counted anew each time.

-- `quotas` has those that differ from the defaults in fillip/core/quota.py.
CREATE TABLE tenant_quota (
    tenant_id     text PRIMARY KEY REFERENCES tenant,
    quotas        jsonb NOT NULL CHECK (jsonb_typeof(quotas) = 'object')
);

-- Running sums, moved in the transaction that stores or frees: whoever moves one has the row until its end, so call it
-- last. coupon_codes: in the tenant's pools, or ordered. stored_bytes: of JSON, attributes of users as they are, and each
-- version of each object of the book.
CREATE TABLE tenant_usage (
    tenant_id     text PRIMARY KEY REFERENCES tenant,
    coupon_codes  bigint NOT NULL DEFAULT 0 CHECK (coupon_codes >= 0),
    stored_bytes  bigint NOT NULL DEFAULT 0 CHECK (stored_bytes >= 0)
) WITH (fillfactor = 50);

GRANT SELECT ON tenant_quota TO fillip_api;
GRANT SELECT, INSERT, UPDATE ON tenant_usage TO fillip_api;
GRANT SELECT ON tenant_quota TO fillip_auth;
