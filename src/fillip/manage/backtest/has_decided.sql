-- Whether a campaign has decided anything on what happened in a time. Locks nothing.
SELECT EXISTS (
    SELECT FROM decision
    WHERE tenant_id = $1 AND campaign_id = $2 AND occurred_at >= $3 AND occurred_at < $4
) AS has_decided
