"""Tests of responder.behaviours."""
