"""systemd as a ServiceManager, over D-Bus (org.freedesktop.systemd1(5))."""
