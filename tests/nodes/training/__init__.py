"""Training, procedure by procedure, in a few steps on a few scenes."""
