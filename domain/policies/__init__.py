"""Decisions as pure functions: facts and a time in, a decision out."""
