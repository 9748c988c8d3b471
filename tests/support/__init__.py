"""What tests share: toy nodes, fake checkpoints, bare scripts, photos."""
