DELETE FROM rejection_fact WHERE partition = $1
