"""What is on the screen beside the pages on bits: each widget in a file of its own."""
