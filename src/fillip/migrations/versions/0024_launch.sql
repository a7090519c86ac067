-- When a campaign was launched, and the version of its tenant's book that its last change made. Locks campaign and book_change for a moment.
ALTER TABLE campaign ADD COLUMN launched_at timestamptz;
ALTER TABLE campaign ADD COLUMN book_version bigint NOT NULL DEFAULT 0;

ALTER TABLE campaign NO FORCE ROW LEVEL SECURITY;
ALTER TABLE book_change NO FORCE ROW LEVEL SECURITY;
UPDATE campaign c SET launched_at = told.launched_at, book_version = told.book_version
FROM (
    SELECT tenant_id, object_id, max(book_version) AS book_version,
           min(changed_at) FILTER (WHERE document ->> 'state' IN ('scheduled', 'running', 'paused', 'ended')) AS launched_at
    FROM book_change WHERE kind = 'campaign' GROUP BY tenant_id, object_id
) told
WHERE told.tenant_id = c.tenant_id AND told.object_id = c.campaign_id;
ALTER TABLE campaign FORCE ROW LEVEL SECURITY;
ALTER TABLE book_change FORCE ROW LEVEL SECURITY;
