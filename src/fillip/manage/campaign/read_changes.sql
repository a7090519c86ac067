-- A campaign as it stood at versions of the tenant's book, with the definitions of the earlier versions in force. Locks nothing.
SELECT b.book_version, b.document ->> 'state' AS state, b.document -> 'definition' AS definition,
       (SELECT jsonb_agg(v.definition) FROM campaign_version v
        WHERE v.tenant_id = b.tenant_id AND v.campaign_id = b.object_id AND b.document -> 'kept' @> to_jsonb(v.version)) AS kept
FROM book_change b
WHERE b.tenant_id = :tenant_id AND b.kind = 'campaign' AND b.object_id = :campaign_id AND b.book_version = ANY (:versions)
