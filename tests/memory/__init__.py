"""Tests of `sdgraph.memory`."""
