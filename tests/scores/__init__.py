"""How well every shipped checkpoint does what it is for, on scenes that none was trained on."""
