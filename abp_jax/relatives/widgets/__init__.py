"""What the relatives show on the screen. Each is imported on its own page; nothing else needs it."""
