"""From the queue into the store: lease → unpack → enrich → store → acknowledge."""
