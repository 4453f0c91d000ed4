"""A lab: a fleet of real nodes on one machine, to rehearse on and to test with.

The order of the work, a file each:

    spec        what a lab consists of, and where it keeps it
    image       the base image of a node (Debian, its Python, a salt-minion), made once
    namespaces  the lab's own network: a bridge and a namespace for each node
    launch      starts a process that belongs to a lab
    waiting     for what was started
    engines     local servers for the event store, where it runs on none of its own
    traces      whatever a lab has running or mounted, found without any record of it
    fleet_files the keys, maps and pillar that make a lab a fleet
    master      a real Salt master
    minion      what a node knows when it first boots
    nspawn      the driver of real machines: a systemd of their own, in systemd-nspawn
    process     the driver without privileges: minions and supervisors on loopback addresses
    returns     how a node's first highstate ended, from the master's own record
    operate     up, down, status, kill: the procedures
"""
