-- What is asked of the events, as a row that the SELECT over them reads.
SELECT {action:String} AS action, {path:Nullable(String)} AS path, {window_days:Int32} AS window_days
