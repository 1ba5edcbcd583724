"""The one home of SQL: tables, queries, migrations.

The same queries on SQLite (a file or memory) and PostgreSQL.
"""
