"""JSON Schemas of attributes: their types, what they may cost, what they take."""
