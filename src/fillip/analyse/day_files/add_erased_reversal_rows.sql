-- Writes the rows of an erased user anew.
INSERT INTO reversal_row BY NAME FROM erased_rows
