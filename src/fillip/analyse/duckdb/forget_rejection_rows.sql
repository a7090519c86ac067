-- Rows of one partition go, before a snapshot puts them anew.
DELETE FROM rejection_row WHERE partition = $1
