"""What named lists hold and held."""
