"""Tests of `sdgraph.store`."""
