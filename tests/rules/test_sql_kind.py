"""SQL is judged as a tree: one statement that only reads, of the tables and functions that are allowed."""

from __future__ import annotations

import logging
import sqlite3
import time
from typing import Any

import pytest

from gateway.call import ArgumentRule
from gateway.facts import Argument
from gateway.rules import compile_rules


def sql(dialect: Any = "sqlite", **options: Any) -> ArgumentRule:
    return compile_rules({"it": Argument(kind="sql", dialect=dialect, **options)})["it"]


READS = [
    "SELECT * FROM orders WHERE id = '12345'",
    "select count(*), max(total) from orders group by status having count(*) > 1 order by 1 desc limit 5",
    "WITH big AS (SELECT * FROM orders WHERE total > 100) SELECT * FROM big",
    "SELECT a FROM t UNION ALL SELECT b FROM u",
    "SELECT 'DROP TABLE x; DELETE' AS words, replace(name, 'a', 'b') FROM t;",
    "SELECT json_extract(value, '$.a') FROM t, json_each(t.items)",
    "SELECT CASE WHEN a THEN b ELSE c END, CAST(a AS INTEGER), EXISTS(SELECT 1) FROM t",
    "SELECT 1 -- trailing words",
]
OTHERS = [
    ("sqlite", "12345; DROP TABLE orders;--"),
    ("sqlite", "SELECT 1; DROP TABLE orders"),
    ("sqlite", "DROP TABLE orders"),
    ("sqlite", "DELETE FROM orders"),
    ("sqlite", "INSERT INTO t VALUES (1)"),
    ("sqlite", "UPDATE t SET a = 1"),
    ("sqlite", "REPLACE INTO t VALUES (1)"),
    ("sqlite", "CREATE TABLE t (a)"),
    ("sqlite", "ATTACH 'x.db' AS y"),
    ("sqlite", "DETACH y"),
    ("sqlite", "PRAGMA writable_schema = 1"),
    ("sqlite", "VACUUM INTO 'x.db'"),
    ("sqlite", "EXPLAIN SELECT 1"),
    ("sqlite", "BEGIN"),
    ("sqlite", "SELECT load_extension('x')"),
    ("sqlite", "SELECT readfile('/etc/passwd')"),
    ("sqlite", "SELECT * FROM pragma_table_info('t')"),
    ("sqlite", "SELECT 1 IN secret"),
    ("sqlite", "SELECT * FROM orders WHERE id NOT IN [secret]"),
    ("sqlite", ""),
    ("sqlite", "-- nothing"),
    ("sqlite", "hello there"),
    ("postgres", "WITH gone AS (DELETE FROM t RETURNING *) SELECT * FROM gone"),
    ("postgres", "SELECT * INTO copy FROM t"),
    ("postgres", "SELECT * FROM t FOR UPDATE"),
    ("postgres", "COPY t TO PROGRAM 'id'"),
    ("postgres", "SELECT pg_read_file('/etc/passwd')"),
    ("postgres", "SELECT pg_catalog.pg_sleep(10)"),
    ("postgres", "SELECT \"pg_sleep\"(10)"),
    ("postgres", "SELECT * FROM dblink('host=x', 'SELECT 1') AS t(a int)"),
    ("postgres", "SELECT lo_import('/etc/passwd')"),
    ("postgres", "SELECT query_to_xml('DELETE FROM t', true, true, '')"),
    ("postgres", "SET ROLE admin"),
    ("postgres", "DO $$ BEGIN DELETE FROM t; END $$"),
    ("mysql", "SELECT 1 /*! UNION SELECT 2 */"),
    ("mysql", "SELECT SLEEP(10)"),
    ("mysql", "SELECT BENCHMARK(1000000, MD5(1))"),
    ("mysql", "SELECT LOAD_FILE('/etc/passwd')"),
    ("mysql", "SELECT * FROM t INTO OUTFILE '/tmp/x'"),
    ("mysql", "SELECT @a := 1"),
    ("mysql", "LOAD DATA INFILE 'x' INTO TABLE t"),
    ("tsql", "EXEC xp_cmdshell 'id'"),
    ("tsql", "SELECT * FROM OPENROWSET('a', 'b', 'c')"),
    ("tsql", "SELECT * FROM other.db.dbo.t"),
    ("tsql", "WAITFOR DELAY '0:0:10'"),
    ("tsql", "SELECT * FROM t WITH (XLOCK)"),
    ("oracle", "SELECT utl_http.request('http://x') FROM dual"),
    ("oracle", "SELECT utl_inaddr.get_host_name FROM dual"),
    ("oracle", "SELECT * FROM t@elsewhere"),
    ("oracle", "SELECT httpuritype('http://x').getclob() FROM dual"),
    ("snowflake", "SELECT * FROM @stage/file"),
    ("snowflake", "SELECT system$wait(10)"),
    ("snowflake", "SELECT * FROM TABLE('secret')"),
    ("snowflake", "SELECT * FROM TABLE(mine(1))"),
    ("bigquery", "SELECT * FROM EXTERNAL_QUERY('a', 'b')"),
    ("duckdb", "SELECT * FROM 'data.csv'"),
    ("duckdb", "SELECT * FROM read_csv('x')"),
    ("duckdb", "SELECT getenv('HOME')"),
    ("clickhouse", "SELECT * FROM url('http://x', CSV)"),
    ("clickhouse", "SELECT file('/etc/passwd')"),
    ("clickhouse", "SELECT 1 SETTINGS readonly = 0"),
]  # fmt: skip


@pytest.mark.parametrize("statement", READS)
def test_what_only_reads_is_sent_on_written_again(statement: str) -> None:
    sent = sql()(statement)
    assert sent == sql()(sent)
    assert ";" not in sent or "DROP TABLE x;" in sent
    try:
        sqlite3.connect(":memory:").execute(sent)
    except sqlite3.OperationalError as error:
        assert "no such table" in str(error)  # and nothing about syntax


@pytest.mark.parametrize(("dialect", "statement"), OTHERS)
def test_what_does_more_than_read_tables_is_refused(dialect: str, statement: str) -> None:
    with pytest.raises(ValueError, match=r"^must be "):
        sql(dialect)(statement)


def test_comments_and_hints_do_not_reach_the_database() -> None:
    assert sql()("SELECT /* one */ 1 -- two") == "SELECT 1"
    assert sql("mysql")("SELECT /*+ SET_VAR(sql_mode='') */ 1 # two") == "SELECT 1"


def test_what_a_database_would_read_as_two_statements_is_sent_as_the_one_that_was_judged() -> None:
    assert sql("tsql")("SELECT 1 DELETE FROM t") == "SELECT 1 AS [DELETE] FROM [t]"


def test_names_of_functions_stay_as_they_are_written() -> None:
    assert sql("postgres")('SELECT "Mine"(a), ours(b) FROM t') == 'SELECT "Mine"(a), ours(b) FROM t'


@pytest.mark.parametrize(
    "statement",
    ["SELECT * FROM secret", "SELECT * FROM main.orders", "SELECT * FROM orders, secret",
     "SELECT * FROM orders WHERE id IN (SELECT id FROM secret)",
     "WITH secret AS (SELECT * FROM secret) SELECT * FROM secret",
     "SELECT * FROM secret, (WITH secret AS (SELECT 1) SELECT * FROM secret) AS x",
     "WITH a AS (SELECT * FROM b), b AS (SELECT 1) SELECT * FROM a"],
)  # fmt: skip
def test_a_list_of_tables_cannot_be_got_round(statement: str) -> None:
    with pytest.raises(ValueError, match="these tables only: orders"):
        sql(tables=("orders",))(statement)


@pytest.mark.parametrize(
    "statement",
    ["SELECT * FROM orders", "SELECT * FROM ORDERS AS o", "WITH x AS (SELECT * FROM orders) SELECT * FROM x",
     "WITH RECURSIVE n AS (SELECT 1 UNION SELECT 2 FROM n) SELECT * FROM n, orders", "SELECT 1"],
)  # fmt: skip
def test_a_list_of_tables_lets_these_and_names_for_queries_pass(statement: str) -> None:
    assert sql(tables=("orders",))(statement)


def test_a_list_of_functions_is_all_that_may_be_called() -> None:
    made = sql(functions=("count", "lower"))
    assert made("SELECT COUNT(*), LOWER(a) FROM t WHERE a AND NOT b OR CASE WHEN c THEN 1 END")
    for statement in ("SELECT max(a) FROM t", "SELECT mine(a) FROM t", "SELECT * FROM json_each('[]')"):
        with pytest.raises(ValueError, match="these functions only: count, lower"):
            made(statement)
    with pytest.raises(ValueError, match="only: none"):
        sql(functions=())("SELECT count(*) FROM t")


def test_writing_is_for_where_it_is_declared_and_still_no_more_than_rows() -> None:
    made = sql(write=True, tables=("orders",))
    for statement in ("SELECT * FROM orders", "UPDATE orders SET a = 1 WHERE b = 2", "DELETE FROM orders WHERE a = 1",
                      "INSERT INTO orders (a) VALUES (1)"):  # fmt: skip
        assert made(statement)
    for statement in ("DROP TABLE orders", "CREATE TABLE x (a)", "DELETE FROM secret", "PRAGMA x = 1",
                      "UPDATE orders SET a = 1; DELETE FROM orders"):  # fmt: skip
        with pytest.raises(ValueError, match=r"^must be "):
            made(statement)


@pytest.mark.parametrize(
    "statement",
    ["SELECT " + "(" * 500 + "1" + ")" * 500, "SELECT " + "f(" * 39 + "1" + ")" * 39, "SELECT 1" + " + 1" * 6000,
     "SELECT " + "(SELECT " * 39 + "1" + ")" * 39, "SELECT " + "NOT " * 4000 + "1", "SELECT '" + "x" * 20_001 + "'",
     "SELECT " + "CASE WHEN 1 THEN " * 500 + "1" + " END" * 500, "SELECT 1" + " UNION SELECT 1" * 1200],
    ids=range(8),
)  # fmt: skip
def test_large_and_deep_statements_cost_little(statement: str) -> None:
    sql()("SELECT 1")
    started = time.process_time()
    try:
        sql()(statement)
    except ValueError as refused:
        assert str(refused).startswith("must be ")
    assert time.process_time() - started < 2


def test_nothing_of_a_statement_gets_into_the_log(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        for statement in ("EXPLAIN SELECT 'moonlit'", "SELECT 'moonlit' FROM", "VACUUM moonlit"):
            with pytest.raises(ValueError, match=r"^must be ") as refused:
                sql()(statement)
            assert "moonlit" not in str(refused.value)
    assert "moonlit" not in caplog.text
