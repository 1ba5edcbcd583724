"""The journal: the only package with SQL. SQLite (a file, or memory) and PostgreSQL."""
