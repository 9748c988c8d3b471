"""Tests of `sdgraph.nodes.vision`."""
