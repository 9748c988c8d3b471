"""Nodes that draw masks, read and find them in pictures, change and combine them."""
