"""The workflows that ship, as data: read them with `importlib.resources.files`."""
