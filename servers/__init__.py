"""Eight small MCP servers of a web shop, each with its own SQLite file and its own credential.

Every server is its own process: `python -m servers.NAME`; `python -m servers` runs all of them.
"""

PORTS = {
    "catalog": 9101,
    "inventory": 9102,
    "pricing": 9103,
    "payment": 9104,
    "fulfillment": 9105,
    "customers": 9106,
    "billing": 9107,
    "records": 9108,
}
"""Default port of each server."""
