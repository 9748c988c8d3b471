"""Tests of `sdgraph.models`."""
