"""Slash commands and buttons: who asks, what is meant, how it is answered."""
