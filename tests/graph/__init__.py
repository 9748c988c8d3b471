"""Tests of `sdgraph.graph`."""
