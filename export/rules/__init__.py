"""Vector-Jacobian rules, grouped by the kind of op they differentiate."""
