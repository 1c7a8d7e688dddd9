"""The control socket: the daemon's side, and the shape of its answers."""
