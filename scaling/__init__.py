"""How many nodes, and what they cost: decisions and arithmetic, pure, for both halves.

prices → limits → capacity          what a rate needs and costs, on paper
decide → simulate                   what the autoscaler wants, and what becomes of it over time
"""
