"""One control a file. Each wraps a call: it may observe, refuse, rewrite, answer, or call again."""
