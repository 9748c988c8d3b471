"""Training, as nodes: each procedure's output is a checkpoint that other nodes can use."""
