"""Control maps beside edges and depth: lines, poses, segments and normals."""
