"""From run directories to figures and tables: reads result files only, never the testbed."""
