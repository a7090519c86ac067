"""Rules at saving: parsed, type-checked, bounded, and how the workers' index finds them."""
