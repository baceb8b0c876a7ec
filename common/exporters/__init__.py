"""Figures for programs that keep and draw them."""
