"""Checks of arguments by what they are declared to be, each with the parser of its kind; one family a file.

A rule takes a value and gives back the one to send on. It raises ValueError with what the argument must be, as the
rest of a sentence for the model ("must be ...; it ..."), which never quotes the value.
"""

from gateway.rules.kinds import ArgumentSpec, compile_rules
from gateway.rules.unicode import hidden, strip

__all__ = ["ArgumentSpec", "compile_rules", "hidden", "strip"]
