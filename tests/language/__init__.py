"""Tests of `sdgraph.language`."""
