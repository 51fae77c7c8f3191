"""SpamAssassin's rules (.cf files) turned into rules files of ours, with a report of what could not be.

The rule: a rule is translated whole, with the meaning it has in SpamAssassin, or not at all; what was not is counted by
its reason. Nothing that is written in a .cf file is ever run.
"""
