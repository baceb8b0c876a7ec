"""Tests that mirror the packages, and whole daemons."""
