"""Serving: score, decide, repair and re-predict, with no training framework in sight."""
