# The external pillar comes first and says who the node is. Then what all nodes share, what its
# role adds, and last what this fleet (a lab's own pillar, or yours) overrides.
base:
  '*':
    - defaults
  'evctl:role:collector':
    - match: pillar
    - roles.collector
  'evctl:role:processor':
    - match: pillar
    - roles.processor
  'evctl:role:postprocessor':
    - match: pillar
    - roles.postprocessor
  'evctl:role:autoscaler':
    - match: pillar
    - roles.autoscaler
  'evctl:id:*':
    - match: pillar
    - fleet
