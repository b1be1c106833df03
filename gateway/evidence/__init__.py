"""Proof that the log of events is what was written: signed checkpoints, archives, and their verification."""
