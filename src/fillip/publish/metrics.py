"""What publish counts."""

from prometheus_client import Counter, Gauge, Histogram, Info

messages = Counter("fillip_publish_messages_total", "Announcements that the broker has confirmed")
set_aside = Counter(
    "fillip_publish_set_aside_total",
    "Rows that could not be announced or mirrored, by table: an alarm at the first",
    ["table"],
)
faults = Counter("fillip_publish_faults_total", "Times publish began anew after an error that nobody foresaw")
delay = Histogram(
    "fillip_publish_delay_seconds",
    "From the commit in PostgreSQL to the broker's confirmation, of the oldest row of each batch",
    buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1, 5, 30, 300),
)
slot_lag = Gauge("fillip_publish_slot_lag_bytes", "WAL that the server keeps for the slot")
projected_counters = Counter("fillip_publish_projected_counters_total", "Limit counters written into Valkey")
dropped_counters = Counter(
    "fillip_publish_dropped_counters_total",
    "Counters that Valkey was not told of: full, or too many of a tenant",
    ["why"],
)
projection_failures = Counter("fillip_publish_projection_failures_total", "Attempts at the projection that failed")
rebuilds = Counter("fillip_publish_rebuilds_total", "Rebuilds of the projection")
live_failures = Counter("fillip_publish_live_failures_total", "Attempts at the live hours that failed")
board_users = Counter("fillip_publish_board_users_total", "Users whose scores were written into leaderboards")
board_builds = Counter("fillip_publish_board_builds_total", "Times the leaderboards of a tenant were built")
board_failures = Counter("fillip_publish_board_failures_total", "Attempts at leaderboards that failed")
slot_room = Gauge(
    "fillip_publish_slot_room_bytes",
    "WAL that may still come before the server throws away what the slot needs; +Inf: any",
)
slots_lost = Counter(
    "fillip_publish_slots_lost_total", "Times the slot was gone, or had lost WAL: all is announced anew"
)
snapshot_rows = Gauge(
    "fillip_publish_snapshot_rows", "Rows announced from the snapshot that is being read, or was last"
)
duty = Gauge("fillip_publish_duty", "1 for what this publisher does now", ["duty"])
duty_since = Gauge("fillip_publish_duty_since_seconds", "Since when (Unix time) it does that")
epoch = Info("fillip_publish_epoch", "The epoch under which this publisher announces, or did last")
