-- Writes the rows of an erased user anew.
INSERT INTO decision_row BY NAME FROM erased_rows
