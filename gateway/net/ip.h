/* ip.h -- what kind of network an IP address belongs to. Pure. */
#ifndef FILEMUX_NET_IP_H
#define FILEMUX_NET_IP_H

#include "gateway/base/base.h"

/* Not an address of the public Internet: loopback, private use, link-local
 * (where the metadata services of clouds are), shared, unspecified, multicast
 * (RFC 6890), IPv6 that stands for such an IPv4 address, or no address. */
bool ip_is_private(const char *text);

#endif
