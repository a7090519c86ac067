-- Decisions of one partition go, before a snapshot puts them anew.
DELETE FROM decision_fact WHERE partition = $1
