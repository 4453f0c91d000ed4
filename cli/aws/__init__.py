"""What an environment is made of in AWS: planned, made and taken away by its one YAML.

environment, environment_file   what the YAML says, and reading it
change       what there is beside what there should be: a pure comparison
kind         the port of a kind of thing: queues, tables, buckets, templates, groups, alarms
plan         all kinds together: what would change, and doing it
price        what that costs a month
join, drain  machines that groups launch become nodes, and go
bill, fixed  what nodes have consumed, and what they and what is kept cost, in dollars
account      the calls, and what their errors mean; waiting: AWS answers before it is done
"""
