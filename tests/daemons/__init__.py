"""Tests of whole daemons: pipes, terminals, real programs and network namespaces."""
