"""What the defence costs and what it buys."""
