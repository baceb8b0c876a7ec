"""Tests of initiator."""
