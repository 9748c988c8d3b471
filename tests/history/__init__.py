"""Tests of `sdgraph.history`."""
