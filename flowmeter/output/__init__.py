"""Flow tables on their way out: Parquet, CSV, JSON Lines, NetFlow v9 and IPFIX."""
