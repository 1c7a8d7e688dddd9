"""Interactions: requesting user, arguments, answers, buttons and forms."""
