-- A tenant's limits. Locks nothing.
SELECT limit_id, scope, measure, span, cap, campaign_id, reward_kind, currency, action, key, key_checked, week_starts_on, rolling_s, pool,
       "over", zone
FROM spending_limit WHERE tenant_id = $1
