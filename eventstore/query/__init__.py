"""Reading back what was stored."""
