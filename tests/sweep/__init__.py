"""Tests of `sdgraph.sweep`."""
