-- Adds incoming states of quest instances, unless a newer one is there. Those whose steps are not known are left to
-- `unknown_quests`, except for what is no row anyway, and fails here.
INSERT INTO quest_fact
SELECT partition, tenant_id, campaign_id, user_id, instance_id, campaign_version, state, started_at, ends_at, revision,
       CASE WHEN len(list_filter(steps, lambda s: s.name IS NULL OR s.done IS NULL OR s.needed IS NULL)) = 0 THEN steps END
FROM incoming_quest ANTI JOIN quest_fact USING (started_at, instance_id)
WHERE steps IS NOT NULL OR tenant_id || campaign_id || user_id || campaign_version || state || started_at || revision IS NULL
