"""The autoscaler: nodes → what they measured → a decision → the next term, with that decision."""
