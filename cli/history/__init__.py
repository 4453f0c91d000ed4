"""The history of a fleet: who changed what, when, from where and why. docs/decisions/0010.

entry     one change, chained to the one before it
log       the entries in the documents' store; its head is copied to witnesses elsewhere
verify    finds what was edited, taken out, put elsewhere, or cut off
"""
