"""A rollout: a document, decided by pure functions, carried out by one thin driver.

errors     what can go wrong
document   what a rollout is: plain data, and its hash-chained log
documents  where rollouts, locks and desired releases are kept: compare-and-swap only
plan       from a range and a release to a document: canaries, waves
decide     (document) → the next command; (document, what nodes answered) → document
gates      what figures say of new generations beside old ones; probe: what the app says of itself
           chosen_gates: which of them a rollout has; comparison: all of them, for a wave
drive      carries commands out through Salt, and keeps the document up to date
"""
