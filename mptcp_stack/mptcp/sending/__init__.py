"""The sending half of a connection: which bytes go to which subflow, and when."""
