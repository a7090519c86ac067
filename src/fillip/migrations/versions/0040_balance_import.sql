-- Opening balances: imports of what users held before. Locks transfers of points for as long as they are checked.
ALTER TABLE wallet_transfer
    DROP CONSTRAINT wallet_transfer_kind_check, DROP CONSTRAINT wallet_transfer_debit_check,
    ADD CONSTRAINT wallet_transfer_kind_check CHECK (kind IN (
        'grant', 'activate', 'spend', 'refund', 'expire', 'reverse', 'adjust', 'hold', 'capture', 'release', 'give', 'receive', 'merge', 'import')),
    ADD CONSTRAINT wallet_transfer_debit_check CHECK (debit IN (
        'issued', 'imported', 'pending', 'active', 'held', 'spent', 'expired', 'reversed'));

-- A file of lots that was checked as a whole. `sums` are its own by currency, `posted` those of the transfers made so far, portion by
-- portion; what is due at `next_at` has portions to be posted, NULL: all are. `error` is why the last try failed.
CREATE TABLE balance_import (
    tenant_id       text NOT NULL REFERENCES tenant CHECK (octet_length(tenant_id) <= 63),
    import_id       text NOT NULL CHECK (import_id ~ '^[a-z0-9][a-z0-9_-]{0,62}$'),
    content_hash    bytea NOT NULL CHECK (octet_length(content_hash) = 32),
    rows            bigint NOT NULL CHECK (rows > 0),
    users           bigint NOT NULL CHECK (users BETWEEN 1 AND rows),
    sums            jsonb NOT NULL,
    posted_rows     bigint NOT NULL DEFAULT 0 CHECK (posted_rows BETWEEN 0 AND rows),
    posted          jsonb NOT NULL DEFAULT '{}',
    posted_portions integer NOT NULL DEFAULT 0,
    next_at         timestamptz DEFAULT now(),
    error           text CHECK (octet_length(error) <= 4000),
    created_at      timestamptz NOT NULL DEFAULT now(),
    ended_at        timestamptz,
    PRIMARY KEY (tenant_id, import_id),
    CHECK ((next_at IS NULL) = (ended_at IS NOT NULL)),
    CHECK ((next_at IS NULL) = (posted_rows = rows))
);
CREATE INDEX balance_import_due ON balance_import (next_at) WHERE next_at IS NOT NULL;
CREATE INDEX balance_import_open ON balance_import (tenant_id) WHERE next_at IS NOT NULL;

-- Rows of an import that are still to be posted, as JSON arrays in the order of wallets; numbered from 1. Goes with the commit that posts it.
CREATE TABLE balance_import_portion (
    tenant_id  text NOT NULL CHECK (octet_length(tenant_id) <= 63),
    import_id  text NOT NULL CHECK (octet_length(import_id) <= 63),
    number     integer NOT NULL,
    rows       text NOT NULL,
    PRIMARY KEY (tenant_id, import_id, number),
    FOREIGN KEY (tenant_id, import_id) REFERENCES balance_import
);

ALTER TABLE balance_import ENABLE ROW LEVEL SECURITY;
ALTER TABLE balance_import FORCE ROW LEVEL SECURITY;
ALTER TABLE balance_import_portion ENABLE ROW LEVEL SECURITY;
ALTER TABLE balance_import_portion FORCE ROW LEVEL SECURITY;
CREATE POLICY one_tenant ON balance_import TO fillip_api USING (tenant_id = current_setting('app.tenant', true));
CREATE POLICY one_tenant ON balance_import_portion TO fillip_api USING (tenant_id = current_setting('app.tenant', true));
CREATE POLICY find_due ON balance_import FOR SELECT TO fillip_sweep USING (true);
GRANT SELECT, INSERT, UPDATE ON balance_import TO fillip_api;
GRANT SELECT, INSERT, DELETE ON balance_import_portion TO fillip_api;
GRANT SELECT (tenant_id, import_id, next_at) ON balance_import TO fillip_sweep;

-- Of a user's past, so many rows of each table: decisions made by `before`, what was told, what became of incentives, transfers. Who decides
-- meanwhile needs none of them: it adds to them behind the user's locked heads, and reversals are refused once the events are
-- the pseudonym's. Locks the rows that it moves. How many it moved.
CREATE OR REPLACE FUNCTION erase_history(
    of_tenant text, of_user text, pseudonym text, salt uuid, before timestamptz, most bigint
) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    moved bigint := 0;
    many bigint;
BEGIN
    WITH page AS (
        SELECT decision_id FROM decision
        WHERE tenant_id = of_tenant AND user_id = of_user AND decided_at <= before LIMIT most
    )
    UPDATE decision d SET user_id = pseudonym, event_id = d.event_key::text, event_source = 'erased',
        instance = erase_instance(d.instance, salt), user_attributes = NULL, user_revision = NULL, cohorts = '{}',
        limits = CASE WHEN d.limits = '[]' THEN d.limits ELSE erase_uses(d.limits, (
            SELECT array_agg(u ->> 'limit_id') FROM jsonb_array_elements(d.limits) AS u
            WHERE EXISTS (SELECT FROM limit_counter c WHERE c.tenant_id = of_tenant AND c.limit_id = u ->> 'limit_id'
                          AND c.user_id IN (of_user, pseudonym))
               OR EXISTS (SELECT FROM spending_limit l WHERE l.tenant_id = of_tenant AND l.limit_id = u ->> 'limit_id'
                          AND l.scope IN ('user', 'user_in_campaign'))), salt) END
    FROM page WHERE d.tenant_id = of_tenant AND d.decision_id = page.decision_id;
    GET DIAGNOSTICS many = ROW_COUNT; moved := moved + many;

    WITH page AS (
        SELECT transfer_id FROM wallet_transfer WHERE tenant_id = of_tenant AND user_id = of_user LIMIT most
    )
    UPDATE wallet_transfer t SET user_id = pseudonym,
        reason = CASE t.kind WHEN 'adjust' THEN 'erased' WHEN 'import' THEN t.reason ELSE erase_text(t.reason, salt) END,
        source_id = CASE WHEN t.kind IN ('grant', 'activate', 'expire', 'reverse', 'receive') THEN t.source_id -- an id of Fillip's own
            ELSE erase_text(t.source_id, salt) END
    FROM page WHERE t.tenant_id = of_tenant AND t.transfer_id = page.transfer_id;
    GET DIAGNOSTICS many = ROW_COUNT; moved := moved + many;

    WITH page AS (SELECT seq FROM inbox WHERE tenant_id = of_tenant AND user_id = of_user LIMIT most)
    UPDATE inbox i SET user_id = pseudonym FROM page WHERE i.tenant_id = of_tenant AND i.user_id = of_user AND i.seq = page.seq;
    GET DIAGNOSTICS many = ROW_COUNT; moved := moved + many;

    WITH page AS (
        SELECT c.inbox_seq, d.event_key
        FROM incentive_change c JOIN decision d ON d.tenant_id = c.tenant_id AND d.decision_id = c.decision_id
        WHERE c.tenant_id = of_tenant AND c.user_id = of_user LIMIT most
    )
    UPDATE incentive_change c SET user_id = pseudonym, event_id = page.event_key::text, event_source = 'erased', reason = NULL,
        reversal_id = erase_text(c.reversal_id, salt),
        reversal_source = CASE WHEN c.reversal_source IS NOT NULL THEN 'erased' END
    FROM page WHERE c.tenant_id = of_tenant AND c.user_id = of_user AND c.inbox_seq = page.inbox_seq;
    GET DIAGNOSTICS many = ROW_COUNT; moved := moved + many;
    RETURN moved;
END $$;
