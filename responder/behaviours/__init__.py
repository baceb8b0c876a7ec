"""What a listener does with its clients: one module for each mode."""
