"""The web servers: body → events → pack → queue, acknowledged once durable."""
