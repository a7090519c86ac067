-- Rows of one partition go, before a snapshot puts them anew.
DELETE FROM reversal_row WHERE partition = $1
