-- Rejections of one partition go, before a snapshot puts them anew.
DELETE FROM rejection_fact WHERE partition = $1
