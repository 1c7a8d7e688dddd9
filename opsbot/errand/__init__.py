"""Jobs that run as a service's user: the program of the job units, and helpers.

The package keeps its name because installed systemd units start `python -m opsbot.errand`. It uses little of the
standard library and nothing else, since it is imported for every check and install step.
"""
