"""What a checkpoint consists of: its components, their files, and the checks of both."""
