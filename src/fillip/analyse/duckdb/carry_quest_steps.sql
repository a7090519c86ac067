-- Gives incoming instances the steps that their change did not carry.
UPDATE incoming_quest SET steps = q.steps
FROM quest_fact q
WHERE incoming_quest.steps IS NULL
  AND q.started_at = incoming_quest.started_at AND q.instance_id = incoming_quest.instance_id
