from __future__ import annotations

import anyio
import pytest
from shop import Failed

from servers import records
from servers.readonly import Reader

ENDLESS = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n)"


async def test_sql_in_a_search_is_only_text(connect, databases):
    async with connect(records.SERVER) as call:
        for text in ("12345; DROP TABLE orders;--", "' OR '1'='1", "%", "_", "\\"):
            assert await call("search_orders", text=text) == {"orders": [], "truncated": False}
        assert [order["order_id"] for order in (await call("search_orders", text="12345"))["orders"]] == ["12345"]
        assert len((await call("search_orders", text="ada"))["orders"]) == 3
    assert databases(records.SERVER).row("SELECT count(*) FROM orders")[0] == 6


async def test_an_order_is_read_with_lines_that_add_up_to_its_total(connect):
    async with connect(records.SERVER) as call:
        for found in (await call("search_orders", text="CUS-"))["orders"]:
            order = await call("get_order", order_id=found["order_id"])
            assert order["total"] == sum(line["quantity"] * line["unit_price"] for line in order["lines"])
        with pytest.raises(Failed, match="no order '12345; DROP TABLE orders;--'"):
            await call("get_order", order_id="12345; DROP TABLE orders;--")


async def test_a_select_gives_columns_and_rows(connect):
    async with connect(records.SERVER) as call:
        sql = "SELECT status, count(*) AS n FROM orders GROUP BY status ORDER BY n DESC, status"
        assert await call("run_query", sql=sql) == {
            "columns": ["status", "n"],
            "rows": [["delivered", 3], ["received", 2], ["shipped", 1]],
            "truncated": False,
        }


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO orders SELECT * FROM orders",
        "UPDATE orders SET total = 0",
        "DELETE FROM orders",
        "DROP TABLE orders",
        "CREATE TABLE t (x)",
        "CREATE TEMP TABLE t (x)",
        "ATTACH DATABASE 'other.db' AS other",
        "VACUUM INTO 'copy.db'",
        "PRAGMA query_only = OFF",
        "PRAGMA table_info(orders)",
        "SELECT * FROM pragma_table_info('orders')",
        "BEGIN",
        "SELECT load_extension('x')",
        "SELECT fts3_tokenizer('simple')",
    ],
)
async def test_a_query_that_does_more_than_read_is_refused(connect, databases, sql):
    before = [tuple(row) for row in databases(records.SERVER).rows("SELECT * FROM orders")]
    async with connect(records.SERVER) as call:
        with pytest.raises(Failed, match=r"Refused: .* is not allowed here"):
            await call("run_query", sql=sql)
    assert [tuple(row) for row in databases(records.SERVER).rows("SELECT * FROM orders")] == before


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        ("SELECT 1; DROP TABLE orders", "one statement at a time"),
        ("SELECT ?", "bindings"),
        ("SELECT 1\0", "null character"),
        ("SELEC 1", "syntax error"),
        ("SELECT absent FROM orders", "no such column: absent"),
        ("SELECT hex(printf('%60000s', ''))", "too big"),
        ("-- nothing", "gives no rows"),
    ],
)
async def test_a_query_that_cannot_run_says_why(connect, sql, reason):
    async with connect(records.SERVER) as call:
        with pytest.raises(Failed, match=reason):
            await call("run_query", sql=sql)


async def test_an_endless_query_is_stopped_while_others_are_answered(connect):
    async with connect(records.SERVER) as call:
        order: list[str] = []

        async def endless() -> None:
            with pytest.raises(Failed, match="stopped after 1 s"):
                await call("run_query", sql=f"{ENDLESS} SELECT count(*) FROM n")
            order.append("endless")

        async with anyio.create_task_group() as group:
            group.start_soon(endless)
            await call("run_query", sql="SELECT 1 AS one")
            order.append("other")
        assert order == ["other", "endless"]


def test_the_time_limit_is_that_of_the_clock(databases):
    ticks = iter(range(100))
    reader = Reader(databases(records.SERVER).path, clock=lambda: float(next(ticks)))
    with pytest.raises(Exception, match="stopped after 1 s"):
        reader.run(f"{ENDLESS} SELECT count(*) FROM n")
    assert next(ticks) < 10


async def test_a_long_answer_is_cut_and_says_so(connect):
    async with connect(records.SERVER) as call:
        many = await call("run_query", sql=f"{ENDLESS} SELECT x FROM n")
        assert (len(many["rows"]), many["truncated"]) == (100, True)
        wide = await call("run_query", sql=f"{ENDLESS} SELECT printf('%40000s', '') FROM n")
        assert (len(wide["rows"]), wide["truncated"]) == (2, True)


async def test_values_json_cannot_carry_come_as_text(connect):
    async with connect(records.SERVER) as call:
        odd = await call("run_query", sql="SELECT 9e999, x'00ff', CAST(x'ff' AS TEXT), NULL")
        assert odd["rows"] == [["inf", "00ff", "\ufffd", None]]
