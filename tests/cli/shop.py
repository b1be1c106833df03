"""A tool server on stdio: what the command line is tried against."""

from __future__ import annotations

from mcp.server import MCPServer

server = MCPServer("shop")


@server.tool()
def charge_card(amount: int, card_token: str) -> str:
    """Charge a card."""
    return f"charged {amount} to {card_token}"


@server.tool()
def refund_card(charge_id: str) -> str:
    """Refund a charge."""
    return charge_id


@server.tool()
def check_fraud_score(card_token: str) -> int:
    """Say how likely fraud is, 0 to 100."""
    return len(card_token)


if __name__ == "__main__":
    server.run()
