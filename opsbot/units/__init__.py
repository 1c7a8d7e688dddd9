"""systemd unit files: a parser, and a linter for harmful settings."""
