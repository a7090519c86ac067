-- Removes acknowledgements that are told again: an entry changes after it, when its user is erased.
DELETE FROM ack_fact USING incoming_ack i WHERE ack_fact.acked_at = i.acked_at AND ack_fact.incentive_id = i.incentive_id
