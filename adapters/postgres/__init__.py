"""Rows, migrations and the embedded server: everything that speaks to PostgreSQL."""
