"""Tests of `sdgraph.cli`."""
