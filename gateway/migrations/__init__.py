"""Revisions of the tables, in order, each with what it adds. `gateway.migrate` applies them."""
