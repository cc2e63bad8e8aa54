"""Ways to plant a backdoor, for evaluation only, and how success is measured."""
