"""tun-decap.py <address> <address> <GUE port>: takes outer headers off in user space, and hands the rest to the kernel.

Sockets receive what is addressed to this host's IPv4 and IPv6 address: IPv4 or IPv6 in IP by raw sockets, GUE by UDP
sockets, which means that the kernel verifies outer checksums as it does for everyone. A TUN device takes what was
inside. Nothing of this is shared with what it is a witness of.
"""

import fcntl
import os
import select
import socket
import struct
import sys

DEVICE = "decap0"
TUNSETIFF = 0x400454CA
IFF_TUN_NO_PI = 0x1001
INNER_PROTOCOLS = (4, 41)


def open_tun():
    tun = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(tun, TUNSETIFF, struct.pack("16sH", DEVICE.encode(), IFF_TUN_NO_PI))
    # Clients are not reached over this device, which a reverse path filter would mind.
    with open(f"/proc/sys/net/ipv4/conf/{DEVICE}/rp_filter", "w") as rp_filter:
        rp_filter.write("0")
    if os.system(f"ip link set {DEVICE} up mtu 9000") != 0:
        sys.exit(f"{DEVICE} does not come up")
    return tun


def without_ipv4_header(packet):
    return packet[(packet[0] & 0x0F) * 4 :]


def as_it_is(packet):
    # A raw IPv6 socket and a UDP socket leave the outer headers out by themselves.
    return packet


def open_sockets(address4, address6, gue_port):
    opened = {}
    for protocol in INNER_PROTOCOLS:
        raw4 = socket.socket(socket.AF_INET, socket.SOCK_RAW, protocol)
        raw4.bind((address4, 0))
        opened[raw4] = without_ipv4_header
        raw6 = socket.socket(socket.AF_INET6, socket.SOCK_RAW, protocol)
        raw6.bind((address6, 0))
        opened[raw6] = as_it_is
    for family, address in ((socket.AF_INET, address4), (socket.AF_INET6, address6)):
        gue = socket.socket(family, socket.SOCK_DGRAM)
        gue.bind((address, gue_port))
        opened[gue] = as_it_is
    for receiver in opened:
        receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    return opened


def main(address4, address6, gue_port):
    tun = open_tun()
    sockets = open_sockets(address4, address6, int(gue_port))
    print("listening", flush=True)
    while True:
        for receiver in select.select(list(sockets), [], [])[0]:
            os.write(tun, sockets[receiver](receiver.recv(65535)))


main(*sys.argv[1:])
