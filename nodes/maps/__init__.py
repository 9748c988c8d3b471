"""Nodes that make control maps: edges, lines, depth, normals, poses and segments."""
