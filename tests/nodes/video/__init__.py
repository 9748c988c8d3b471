"""Tests of `sdgraph.nodes.video`."""
