"""Domain values rendered as Discord messages. Pure: nothing here talks to Discord."""
