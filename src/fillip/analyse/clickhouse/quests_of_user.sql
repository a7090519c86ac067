-- The quest instances of a user, and whether they count still; locks nothing.
SELECT id, campaign_id, made_us, max(revision) AS newest, max(load >= {since_quest:Array(UInt64)}[partition + 1]) AS counts
FROM fact
WHERE kind = 'quest' AND tenant_id = {tenant_id:String} AND user_id = {user_id:String}
GROUP BY id, campaign_id, made_us
