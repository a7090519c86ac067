-- Writes the rows of an erased user anew.
INSERT INTO rejection_row BY NAME FROM erased_rows
