"""From Python to machine code: programs that do not become stale, kept on disk, by a compiler that is checked."""
