"""CPU of one DNS question, ours against dnspython's and aiodns: `python benchmarks/dns.py --help`.

The program itself is in lib/dns_questions.py. This file has the name of the package `dns` (dnspython), which Python
would look for in the folder of the script first: it takes that folder off the path, and when another benchmark imports
it by mistake it makes room for the package.
"""

import sys
from pathlib import Path

_FOLDER = Path(__file__).resolve().parent
sys.path[:] = [place for place in sys.path if Path(place).resolve() != _FOLDER]

if __name__ == "__main__":
    sys.path.insert(0, str(_FOLDER.parent))
    from benchmarks.lib.dns_questions import main

    main()
elif __name__ == "dns":
    del sys.modules["dns"]
    import dns  # noqa: F401 - now it is dnspython that is found
