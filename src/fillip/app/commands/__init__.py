"""The commands beside those that run Fillip: of the operator, and of whoever uses an API from elsewhere."""
