"""Tests of the exporters that both daemons share."""
