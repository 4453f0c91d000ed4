"""`evctl doctor`: everything that can be wrong with an installation, and how to mend each.

check     what a check says
files     fleet.yaml, the map of nodes, keys and tokens: contents and permissions
stores    the registry and its signatures, the documents, the rollouts and locks in them
master    Salt's settings that evctl relies on, and whether it listens
nodes     who joined, who answers, and what they say of themselves

Nothing is changed. What doesn't answer is itself a finding, and the other checks go on.
"""
