-- Takes the next portion of an import out, where no other process is at it. Locks the import's row until the transaction ends.
WITH taken AS (
    SELECT tenant_id, import_id, posted_portions + 1 AS number, posted FROM balance_import
    WHERE tenant_id = :tenant_id AND import_id = :import_id AND next_at <= now() FOR UPDATE SKIP LOCKED
)
DELETE FROM balance_import_portion p USING taken t
WHERE p.tenant_id = t.tenant_id AND p.import_id = t.import_id AND p.number = t.number
RETURNING p.rows, t.posted
