"""Kills what a gateway leaves behind that was killed itself. Run as a script of its own, with stdlib only.

Standard input says `+PGID` when a process group begins and `-PGID` when it has ended. End of input means the
gateway is gone, however it went: the groups that are left are killed.
"""

import os
import signal
import sys


def main() -> None:
    groups: set[int] = set()
    for line in sys.stdin:
        sign, number = line[0], int(line[1:])
        if sign == "+":
            groups.add(number)
        else:
            groups.discard(number)
    for group in groups:
        try:
            os.killpg(group, signal.SIGKILL)
        except ProcessLookupError:
            continue


if __name__ == "__main__":
    main()
