"""Components in memory: devices, the loader, the cache, prefetching."""
