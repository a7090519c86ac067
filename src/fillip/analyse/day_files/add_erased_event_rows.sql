-- Writes the rows of an erased user anew.
INSERT INTO event_row BY NAME FROM erased_rows
