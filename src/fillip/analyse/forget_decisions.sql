DELETE FROM decision_fact WHERE partition = $1
