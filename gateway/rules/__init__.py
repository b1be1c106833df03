"""Checks of arguments by what they are declared to be, each with the parser of its kind; one family a file."""
