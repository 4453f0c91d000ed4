"""`python -m eventstore collector|processor|postprocessor|autoscaler`: the process of a role.
`python -m eventstore events TOOL …`: a question to the event store.

Run by hand it takes --settings, or EV_SETTINGS, and listens on 127.0.0.1.
"""

import gc
import os
import sys

if __name__ == "__main__":
    # A start is imports. Nothing that they make is garbage, so looking for some waits until the
    # role is about to serve; and nothing multiplies matrices, for which numpy would start threads.
    gc.disable()
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from eventstore.roles import main

    sys.exit(main(sys.argv[1:], __doc__))
