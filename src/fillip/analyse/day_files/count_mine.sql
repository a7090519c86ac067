-- How many rows of `judged` are the erased user's.
SELECT count(*) FROM judged WHERE mine
