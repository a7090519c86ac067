-- Writes the rows of an erased user anew.
INSERT INTO event_repeat BY NAME FROM erased_rows
