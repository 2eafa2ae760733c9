"""The verbs: one module each, or one a family. Each has ``COMMANDS``, its verbs by name."""
