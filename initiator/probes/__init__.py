"""Sessions of their own beside the held ones: what finds out how fast, how many, how often, how long."""
