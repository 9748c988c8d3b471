"""Tests of `sdgraph.nodes.io`."""
