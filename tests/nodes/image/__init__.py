"""Tests of `sdgraph.nodes.image`."""
