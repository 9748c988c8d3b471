"""Tests of `sdgraph.execution`."""
