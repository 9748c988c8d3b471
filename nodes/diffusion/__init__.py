"""Nodes that generate images and videos with diffusion models."""
