"""What tenants have and use."""
