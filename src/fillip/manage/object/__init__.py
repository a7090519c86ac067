"""What all objects of a tenant have alike."""
