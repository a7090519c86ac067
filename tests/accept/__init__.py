"""`make accept`: real data with answer keys through the real path, every figure beside its goal."""
