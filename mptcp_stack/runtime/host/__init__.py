"""The host's side of a stack: its TUN device, and the kernel as its router.

Rules:

1. All is done in the network namespace in which the stack was made, and undone in reverse order, after an error too.
2. Rtnetlink is spoken in the thread of `Netlink` alone, by `Netlink.run`. A child process speaks and undoes nothing.
3. The kernel keeps its own addresses: no packet of theirs is led another way.

How it works. A packet for an address of the stack's comes in because the kernel answers ARP or neighbour solicitations
for it (`neigh proxy`), and a host route leads it into the TUN device. One from such an address, coming out of the TUN
device, meets a rule (`from ADDRESS iif TUN`) with a routing table of its own, which knows the address's interface and
router and nothing else: it leaves there or not at all.

    peer  ->  eth1  ->  route to the address  ->  TUN  ->  stack
    peer  <-  eth1  <-  table of the address  <-  TUN  <-  stack

`HostNetwork` checks and makes all that, `KernelRouter` has the routes, rules and sysctls, `AddressMonitor` notices when
an interface or its subnet goes or comes. They die the other way round: the monitor's socket, the routes, the TUN
device.
"""
