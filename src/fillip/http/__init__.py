"""What all HTTP doors share, below the rooms and without a server of its own.

On the way in: `bearer` (who calls), `address`, `body` and `fields` (what is asked). On the way out: `paging` and `cursor`
(lists), `etag` (versions), `errors` (what is refused) and `problems` (how that is answered), `health`.
"""
