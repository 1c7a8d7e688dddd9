"""The files that opsbot needs on a host: its unit, permissions, user and folders.

    facts   queries the host: users of the units, polkit version, user database
    plan    computes the files and warnings from configuration and facts; pure
    files   compares the plan with the files present and writes or removes files; never touches foreign files
    host    runs the commands that make the host apply the changes

The templates are valid unit, rule and configuration files in the project's `systemd/` folder.
"""
