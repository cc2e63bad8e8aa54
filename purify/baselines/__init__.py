"""Baseline purifiers, one file each, behind the same interface."""
