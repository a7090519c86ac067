-- Whether a campaign has decided for instances of a quest.
SELECT countIf(of_quest) > 0 FROM fact
WHERE kind = 'decision' AND tenant_id = {tenant_id:String} AND campaign_id = {campaign_id:String} AND load <= {newest:UInt64}
  AND load >= {since_decision:Array(UInt64)}[partition + 1] AND NOT shadow
