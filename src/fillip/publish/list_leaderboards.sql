-- The leaderboards of these tenants, of all where none are named, with the zone whose days count. Locks nothing.
SELECT b.tenant_id, t.time_zone, b.leaderboard_id, b.measure, b.span, b.currency, b.campaign_id, b.week_starts_on
FROM leaderboard b JOIN tenant t USING (tenant_id)
WHERE %(tenants)s::text[] IS NULL OR b.tenant_id = ANY (%(tenants)s)
ORDER BY b.tenant_id, b.leaderboard_id
