"""Imports to distributions to an exact, hashed lock."""
