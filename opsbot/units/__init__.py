"""systemd unit files: a parser, and a linter for settings that will cause trouble."""
