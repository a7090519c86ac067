-- Removes the states that incoming ones replace. When an instance began never changes: only blocks of those times are read.
DELETE FROM quest_fact USING incoming_quest i
WHERE quest_fact.started_at = i.started_at AND quest_fact.instance_id = i.instance_id AND quest_fact.revision <= i.revision
