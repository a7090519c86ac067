-- Leaderboards, and what the publisher hears of merges and erasures so that their users stand right. Locks the publication; nobody merges or erases meanwhile.
CREATE TABLE leaderboard (
    tenant_id      text NOT NULL REFERENCES tenant CHECK (octet_length(tenant_id) <= 63),
    leaderboard_id text NOT NULL CHECK (leaderboard_id ~ '^[a-z0-9][a-z0-9_-]{0,62}$'),
    measure        text NOT NULL CHECK (measure IN ('count', 'value')),
    span           text NOT NULL CHECK (span IN ('day', 'week', 'month', 'year', 'lifetime')),
    currency       text CHECK (octet_length(currency) <= 32),
    campaign_id    text CHECK (octet_length(campaign_id) <= 63),
    week_starts_on text CHECK (week_starts_on IN ('monday', 'tuesday', 'wednesday', 'thursday', 'friday', 'saturday', 'sunday')),
    revision       bigint NOT NULL DEFAULT 1,
    created_at     timestamptz NOT NULL DEFAULT now(),
    updated_at     timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, leaderboard_id),
    CHECK ((measure = 'value') = (currency IS NOT NULL)),
    CHECK (measure = 'value' OR campaign_id IS NOT NULL),
    CHECK (week_starts_on IS NULL OR span = 'week')
);
ALTER TABLE leaderboard ENABLE ROW LEVEL SECURITY;
ALTER TABLE leaderboard FORCE ROW LEVEL SECURITY;
CREATE POLICY one_tenant ON leaderboard TO fillip_api USING (tenant_id = current_setting('app.tenant', true));
GRANT SELECT, INSERT, UPDATE, DELETE ON leaderboard TO fillip_api;
CREATE POLICY announce ON leaderboard FOR SELECT TO fillip_publish USING (true);
GRANT SELECT ON leaderboard TO fillip_publish;

-- Whose scores are one, and which move.
CREATE POLICY announce ON user_merge FOR SELECT TO fillip_publish USING (true);
GRANT SELECT (tenant_id, user_id, merged_into) ON user_merge TO fillip_publish;
ALTER PUBLICATION fillip ADD TABLE
    leaderboard (tenant_id, leaderboard_id), user_merge (tenant_id, user_id), erasure (tenant_id, erasure_id, user_id);
