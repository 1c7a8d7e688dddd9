"""The deploy pipeline: from a commit to a verified release, or back."""
