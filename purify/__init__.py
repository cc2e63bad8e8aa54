"""Training: fine-tuning, purification and the baselines it is compared with."""
