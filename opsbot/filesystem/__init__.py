"""Folders, the disks they are on, and the processes that work in them."""
