"""systemd as a ServiceManager, over D-Bus (org.freedesktop.systemd1(5)): no root, no sudo, no `systemctl`."""
