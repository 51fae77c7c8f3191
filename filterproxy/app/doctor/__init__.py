"""`filterproxy doctor`: is what the filter stands on in order? Each question has a file of its own.

The rule: an examination changes nothing, takes bounded time, and says with every finding what to do about it.
"""

from filterproxy.app.doctor.examination import examine
from filterproxy.app.doctor.finding import Finding, Status

__all__ = ["Finding", "Status", "examine"]
