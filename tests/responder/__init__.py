"""Tests of responder."""
