"""Files of weights and configs as they are on disk: headers, keys, sizes, hashes."""
