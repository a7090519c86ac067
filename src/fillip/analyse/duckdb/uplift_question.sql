-- What is asked of the events, as a row that the SELECT over them reads.
SELECT $action::varchar AS action, $path::varchar AS path, $window_days::integer AS window_days
