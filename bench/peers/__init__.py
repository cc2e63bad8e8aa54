"""Other inference-time defences behind one interface, as faithful as their papers and at their best settings."""
