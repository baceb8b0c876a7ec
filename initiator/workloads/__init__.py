"""Traffic run over or beside the held sessions."""
