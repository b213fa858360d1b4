"""The benchmark of recipes: one corpus, one network, equal steps; only what is made of the labels differs."""
