"""Where models come from: folders, the hub, the package, random weights."""
