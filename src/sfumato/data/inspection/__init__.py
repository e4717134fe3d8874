"""What a source is like and what is wrong with it: findings, fingerprint, a corrected copy."""
