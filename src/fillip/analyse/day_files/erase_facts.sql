-- Decisions of an erased user in the reports, without those that a new user of the id got since.
UPDATE decision_fact SET user_id = $pseudonym
WHERE tenant_id = $tenant_id AND user_id = $user_id AND NOT list_contains($newer, decision_id)
