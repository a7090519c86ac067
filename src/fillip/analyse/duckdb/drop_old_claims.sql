-- Removes claims that are told again: an incentive changes after its claim too.
DELETE FROM claim_fact USING incoming_claim i
WHERE claim_fact.claimed_at = i.claimed_at AND claim_fact.incentive_id = i.incentive_id
