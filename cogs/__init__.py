"""Discord's side of opsbot: parse, call the engine once, show."""
