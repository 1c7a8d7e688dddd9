"""What opsbot needs of a host, written once by an admin: its unit, its rights, its user, its folders.

    facts   what the host says: the units' users, the version of polkit, who is who
    plan    configuration and facts → the files there should be, and what an admin has to know; pure
    files   compares them with what is there, writes and removes; never what somebody else wrote
    host    the few commands that make the host take note

The texts themselves stand in the folder `systemd/` of the project, as files that are valid by themselves.
"""
