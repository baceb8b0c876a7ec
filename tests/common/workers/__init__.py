"""Tests of engines in processes of their own."""
