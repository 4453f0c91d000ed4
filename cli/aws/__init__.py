"""What an environment is made of in AWS: planned, made and taken away by its one YAML.

environment  the YAML, checked
change       what there is beside what there should be: a pure comparison
account      the calls, and what their errors mean
queues, tables, buckets, …   one file a kind of thing: how it is looked at, made, changed, deleted
plan         all kinds together: what would change, and doing it
"""
