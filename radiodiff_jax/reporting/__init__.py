"""Figures and pages from runs and data: reads files and arrays, never trains."""
