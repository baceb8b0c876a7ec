"""The daemon in front of the box: opens sessions to its targets and maintains them."""
