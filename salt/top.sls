# Every node gets the toolkit; its role is the master's to say, in pillar.
base:
  '*':
    - toolkit
    - role
