"""Names in SQL that lead out of the tables: files, network, other sessions, the server itself, endless time."""

from __future__ import annotations

import re
from collections import defaultdict

FUNCTIONS_DENIED = re.compile(
    r"""
    # any: files and programs
    load_extension | readfile | writefile | edit | fsdir | fts3_tokenizer | zipfile | sqlar_.*
    # PostgreSQL
    | pg_(read|ls|file|logdir)_.* | pg_stat_file | pg_current_logfile | lo_.* | lowrite | dblink.* | pg_sleep.*
    | set_config | pg_(terminate|cancel)_backend | pg_(reload|rotate|promote|switch|create|drop)_.*
    | pg_(logical|replication|backup|wal|export|import|start|stop|advisory|try_advisory|notify|signal|log|prewarm).*
    | nextval | setval | (query|cursor|table|schema|database)_to_xml.* | xpath_table | ts_stat | crosstab.* | connectby
    | pg_execute_server_program | plpy.* | spi_.* | postgres_fdw.* | file_fdw.* | txid_current | pg_current_xact_id
    | http_.* | http | net_.* | aws_.*
    # MySQL, MariaDB
    | sleep | benchmark | load_file | get_lock | release_.*lock.* | is_(free|used)_lock | sys_(exec|eval|get|set)
    | (master|source)_pos_wait | wait_(for|until)_.* | service_.*lock.* | setval | keyring_.* | version_tokens_.*
    # SQL Server
    | (xp|sp)_.* | openrowset | opendatasource | openquery | openxml | fn_(xe_file|get_audit|trace|dblog|dump|my_perm).*
    # Oracle
    | bfilename | httpuritype | dburitype | xdburitype | sys_dburigen | dbms_.* | utl_.*
    # Snowflake
    | system\$.* | get_presigned_url | build_(scoped|stage)_.* | external_function.*
    # BigQuery
    | external_query | (ml|ai)_.* | generate_(text|embedding)
    # DuckDB
    | read_.* | readcsv | readparquet | readjson.* | parquet_.* | sniff_.* | glob | getenv | query | query_table
    | .*_scan(_.*)? | (sqlite|postgres|mysql)_(query|execute|attach|scan).* | (duckdb|which)_secret.* | st_read.*
    | copy_.* | load_.* | set_variable | getvariable | pragma_.* | write_.* | force_checkpoint | checkpoint
    # ClickHouse
    | file | url.*cluster | s3.* | gcs | hdfs.* | azureblob.* | remote.* | cluster.* | jdbc | odbc | mongodb | redis
    | executable | sleepeachrow | input | iceberg.* | deltalake.* | hudi.* | paimon.* | catboostevaluate | dictionary
    | addressto.* | demangle | trap | filesystem.* | getsetting | getclienthttpheader | getserverport
    """,
    re.VERBOSE,
)
"""Functions, in lower case, that a statement may not call where no list says which it may."""

PACKAGES_DENIED = re.compile(r"(utl|dbms|owa|apex|mdsys|ordsys|sysibmadm)(_.*)?|msdb|dbmail")
"""What qualifies such functions, in Oracle without parentheses too."""

FUNCTIONS_OF_TABLES = frozenset(
    ["json_each", "json_tree", "jsonb_each", "jsonb_each_text", "json_each_text", "json_array_elements", "unnest",
     "json_array_elements_text", "jsonb_array_elements", "jsonb_array_elements_text", "json_to_recordset", "explode",
     "jsonb_to_recordset", "jsonb_object_keys", "json_object_keys", "generate_series", "exploding_generate_series",
     "generate_subscripts", "regexp_split_to_table", "string_to_table", "string_split", "openjson", "json_table",
     "flatten", "split_to_table", "range", "numbers", "posexplode", "explode_outer", "regexp_matches", "values"]
)  # fmt: skip
"""Functions that a statement may read like a table: they only take apart what they are given."""

_OTHER_SERVERS = re.compile(r"[@\0]")
_FILES = re.compile(r"[@\0./:*?\\]")
TABLES_OUTSIDE: defaultdict[str, re.Pattern[str]] = defaultdict(lambda: _OTHER_SERVERS, duckdb=_FILES)
"""By dialect: what a table's name has when it is a file, a stage or a table elsewhere."""
