"""How good: exact posteriors, bounds on log p(y), diagnostics of chains, errors, paths, baselines."""
