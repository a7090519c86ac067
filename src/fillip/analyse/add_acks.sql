-- Adds incoming acknowledgements.
INSERT INTO ack_fact FROM incoming_ack
