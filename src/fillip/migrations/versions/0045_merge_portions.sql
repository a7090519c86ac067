-- A tenant's book says whether it has merged users. Locks `tenant` for a moment.

-- The version of the book since which workers ask who the tenant's users are by now; NULL: it has merged nobody, and nobody asks.
-- No user is merged before that version is in force.
ALTER TABLE tenant ADD COLUMN merged_since bigint;
UPDATE tenant t SET merged_since = 0 FROM user_change_head h WHERE h.tenant_id = t.tenant_id AND h.merged > 0;

-- A badge that two ids of a user had earned is still held when one of them is taken back.
GRANT UPDATE (user_id) ON badge_held TO fillip_worker;
