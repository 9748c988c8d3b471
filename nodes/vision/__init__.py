"""Inference with models that recognise what pictures show, and the memory it needs."""
