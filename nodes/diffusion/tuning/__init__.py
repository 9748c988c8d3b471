"""Speed and memory: settings of diffusers and PyTorch, step caches, offloading."""
