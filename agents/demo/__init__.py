"""The demonstration: a shop's tool servers, the gateway in front of them, and agents at work. No key, no Docker."""
