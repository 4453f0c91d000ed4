"""What goes wrong while a rollout is under way, on a real lab and under load: `make faults`.

fault     what a fault is, and what must come of it
scene     the lab, its load, and the fleet that every fault finds and leaves as it was
running   a driver at work beside us, whose lines are read, and which can be killed
drivers   the driver, or its master, is killed; two operators at once
cuts      a minion is cut off from its master: one way, both ways, flapping
nodes     a node is off, loses its power, joins, has no room, has a wrong clock
registry  the registry is gone, or serves what was never published
releases  releases that are bad, each in its own way
table     all of them, in their order
rows      what came of them: counted from the load's ledger and the store
"""
