"""Running recognition models: inference and its memory."""
