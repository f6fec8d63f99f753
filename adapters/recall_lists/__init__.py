"""Recall lists as signed files, and the folder that holds the one in force."""
