"""Prompts: what their syntax means, their embeddings, textual inversions."""
