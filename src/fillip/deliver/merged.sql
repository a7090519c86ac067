-- Users of all tenants who were merged into others in the last so many seconds. Locks nothing.
SELECT tenant_id, user_id FROM user_merge WHERE merged_at > clock_timestamp() - make_interval(secs => $1)
