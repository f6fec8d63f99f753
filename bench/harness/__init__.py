"""How paths are measured: subjects, interleaved blocks, statistics, verdicts, and the report."""
