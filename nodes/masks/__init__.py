"""Masks: drawn, read off a picture, found by models, changed and combined."""
