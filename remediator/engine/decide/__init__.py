"""What one look sees and decides, before anything is written to a cluster."""
