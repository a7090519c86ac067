-- Keeps the limits of a batch's tenants as they are, and their users unmerged; waits behind a change that came first, as 0001_limit_lock.sql
-- says. Those of the tenants that have merged users.
SELECT share_merged($1)
