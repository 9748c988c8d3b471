"""Pipelines of diffusers: which fits a checkpoint, how it is made and called."""
