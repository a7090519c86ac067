-- All that was taken of incentives in `judged`, of the erased user under the pseudonym and without its reason.
SELECT j.* EXCLUDE (mine) REPLACE (if(mine, of_pseudonym, user_id) AS user_id, if(mine, NULL, reason) AS reason)
FROM judged j CROSS JOIN erasing
