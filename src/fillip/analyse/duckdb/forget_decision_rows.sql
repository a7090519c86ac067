-- Rows of one partition go, before a snapshot puts them anew.
DELETE FROM decision_row WHERE partition = $1
