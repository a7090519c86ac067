-- How far all is loaded, by the newest load.
SELECT state FROM fact WHERE kind = 'position' ORDER BY version DESC LIMIT 1
