"""The control socket itself: who is there, what it takes, what it answers."""
