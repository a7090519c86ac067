"""The form of requests and answers: bodies, pages, problems, ETags, fields."""
