"""The local servers that a lab's event store runs on instead of AWS; tests start the same ones.

fetch    has them: jars through Maven, the S3 server's virtual environment
build    builds another S3 server, where somebody asks for it
servers  how each is started: commands as data
start    starts them for a lab, and makes in them what its event store needs
"""
