"""Tests of what a fleet is made of."""
