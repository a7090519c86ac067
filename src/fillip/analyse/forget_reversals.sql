DELETE FROM reversal_fact WHERE partition = $1
