"""What was tried to make sdgraph fail, each as a command that prints what failed."""
