"""Tests of `sdgraph.nodes.diffusion`."""
