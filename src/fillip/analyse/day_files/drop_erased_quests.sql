-- Removes the states of an erased user's quest instances that stand under the pseudonym by now.
DELETE FROM quest_fact USING (FROM quest_fact WHERE tenant_id = $tenant_id AND user_id = $pseudonym) e
WHERE quest_fact.tenant_id = $tenant_id AND quest_fact.user_id = $user_id AND quest_fact.campaign_id = e.campaign_id
  AND quest_fact.started_at = e.started_at AND quest_fact.revision < e.revision
