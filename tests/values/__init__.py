"""Tests of `sdgraph.values`."""
