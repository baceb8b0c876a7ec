"""What both daemons share and neither owns."""
