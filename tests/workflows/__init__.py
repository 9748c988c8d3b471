"""Tests of `sdgraph.workflows`."""
