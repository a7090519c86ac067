-- Writes the rows of an erased user anew.
INSERT INTO incentive_row BY NAME FROM erased_rows
