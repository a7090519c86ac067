"""What all HTTP doors share: addresses, bodies, fields, errors as problems, ETags. Below the rooms, without a database."""
