"""What the shop declares about its own arguments does what it is there for."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.config import load
from gateway.rules import compile_rules
from gateway.rules.text import check_text
from servers import PORTS

ATTACK = "12345; DROP TABLE orders;--"
KEYS = {f"{name.upper()}_KEY": "any" for name in PORTS}
CONFIG = load(Path(__file__).parents[2] / "gateway.toml", KEYS)


def test_the_same_words_are_text_to_a_search_and_no_statement_to_a_query() -> None:
    records = CONFIG.servers["records"]
    assert compile_rules(records.arguments("search_orders")).get("text", check_text)(ATTACK) == ATTACK
    query = compile_rules(records.arguments("run_query"))["sql"]
    with pytest.raises(ValueError, match=r"^must be SQL in the dialect sqlite|^must be exactly one SQL statement"):
        query(ATTACK)
    with pytest.raises(ValueError, match="these tables only: order_lines, orders"):
        query("SELECT * FROM sqlite_master")
    plain = "SELECT customer_name, SUM(total) FROM orders GROUP BY customer_name"
    assert query(plain + "; -- all of them") == plain


def test_amounts_are_whole_cents_and_addresses_are_addresses() -> None:
    amount = compile_rules(CONFIG.servers["payment"].arguments("charge_card"))["amount"]
    assert amount(4900) == 4900
    with pytest.raises(ValueError, match="minor units"):
        amount(49.0)
    to = compile_rules(CONFIG.servers["fulfillment"].arguments("send_email"))["to"]
    with pytest.raises(ValueError, match="one e-mail address"):
        to("ada@example.com\r\nBcc: eve@example.com")
