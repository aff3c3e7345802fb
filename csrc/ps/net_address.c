/* Where processes are: the root's address as the user gives it, and the address at which the others reach
 * this process. A name that is not `localhost` counts as an address of the network wherever it leads: all
 * processes of a job come to the same answer, whatever their hosts files say. */
#include "net.h"

#include "../base/internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <zmq.h>

#define RESOLVE_WITHIN 10.0 /* seconds: the name of a machine that is only starting may come */
#define HOST_BYTES 200

typedef struct {
  char host[HOST_BYTES];
  char port[8];
} place;

static bool is_ipc(const char *endpoint)
{
  return !strncmp(endpoint, "ipc://", 6) && endpoint[6];
}

/* HOST:PORT or [HOST]:PORT; the port may be missing where `port_needed` is false. */
static bool split(const char *text, bool port_needed, place *result)
{
  const char *host = text, *end, *port;
  if (*text == '[') {
    host = text + 1;
    if (!(end = strchr(host, ']'))) return false;
    port = end + 1;
  } else {
    end = strrchr(text, ':');
    if (!end) end = text + strlen(text);
    port = end;
  }
  size_t length = (size_t)(end - host);
  if (!length || length >= HOST_BYTES || (*port && *port != ':') || (*text != '[' && memchr(host, ':', length)))
    return false;
  memcpy(result->host, host, length);
  result->host[length] = 0;
  result->port[0] = 0;
  if (!*port) return !port_needed;
  char *rest;
  long number = strtol(port + 1, &rest, 10);
  if (rest == port + 1 || *rest || number < 1 || number > 65535) return false;
  snprintf(result->port, sizeof result->port, "%ld", number);
  return true;
}

static bool split_endpoint(const char *endpoint, place *result)
{
  return !strncmp(endpoint, "tcp://", 6) && split(endpoint + 6, true, result);
}

static bool is_loopback(const struct sockaddr *address)
{
  if (address->sa_family == AF_INET6) return IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)address)->sin6_addr);
  return ntohl(((const struct sockaddr_in *)address)->sin_addr.s_addr) >> 24 == 127;
}

int epact_endpoint_is_local(const char *endpoint)
{
  place p;
  struct in_addr v4;
  struct in6_addr v6;
  if (is_ipc(endpoint)) return 1;
  if (!split_endpoint(endpoint, &p)) return 0;
  if (!strcmp(p.host, "localhost")) return 1;
  if (inet_pton(AF_INET, p.host, &v4) == 1) return ntohl(v4.s_addr) >> 24 == 127;
  return inet_pton(AF_INET6, p.host, &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}

bool epact_endpoint_is_numeric(const char *endpoint)
{
  place p;
  unsigned char any[16];
  if (is_ipc(endpoint)) return true;
  return split_endpoint(endpoint, &p) &&
         (inet_pton(AF_INET, p.host, any) == 1 || inet_pton(AF_INET6, p.host, any) == 1);
}

/* The addresses of a name, numbers of the fourth version before those of the sixth. */
static int look_up(const char *host, struct addrinfo **found)
{
  struct addrinfo hints = { .ai_family = AF_INET, .ai_socktype = SOCK_STREAM };
  int code = getaddrinfo(host, NULL, &hints, found);
  if (!code) return 0;
  hints.ai_family = AF_INET6;
  return getaddrinfo(host, NULL, &hints, found) ? code : 0;
}

static void number_of(const struct sockaddr *address, char *text, size_t bytes)
{
  const void *number = address->sa_family == AF_INET6 ? (const void *)&((const struct sockaddr_in6 *)address)->sin6_addr
                                                      : (const void *)&((const struct sockaddr_in *)address)->sin_addr;
  if (!inet_ntop(address->sa_family, number, text, (socklen_t)bytes)) *text = 0;
}

static void endpoint_of(const struct sockaddr *address, const char *port, char *endpoint)
{
  char host[INET6_ADDRSTRLEN];
  number_of(address, host, sizeof host);
  bool sixth = address->sa_family == AF_INET6;
  snprintf(endpoint, EPACT_ENDPOINT_BYTES, "tcp://%s%s%s:%s", sixth ? "[" : "", host, sixth ? "]" : "", port);
}

/* Rank 0's own name must be known here; a name of another machine may become known. */
static int resolve(const epact_net *net, const char *host, double end, struct addrinfo **found)
{
  double limit = epact_now() + RESOLVE_WITHIN;
  for (;;) {
    int code = look_up(host, found);
    if (!code) return EPACT_OK;
    double now = epact_now();
    if (net->rank == 0 || now > end || now > limit) {
      return epact_fail(EPACT_E_SYSTEM, "cannot find the address of %s: %s", host, gai_strerror(code));
    }
    int stopped = net->interrupted ? net->interrupted() : EPACT_OK;
    if (stopped) return stopped;
    zmq_poll(NULL, 0, 100);
  }
}

int epact_root_check(const char *root)
{
  place p;
  if (is_ipc(root) || split_endpoint(root, &p)) return EPACT_OK;
  return epact_fail(EPACT_E_MISUSE, "the root address must be tcp://HOST:PORT or ipc://PATH, got %s", root);
}

/* The address this process gives, as an endpoint with `port` where it has none of its own. */
static int own_endpoint(const char *address, const char *port, char *endpoint)
{
  place p;
  struct addrinfo *found;
  if (!strncmp(address, "tcp://", 6)) address += 6;
  if (!split(address, false, &p)) {
    return epact_fail(EPACT_E_MISUSE, "this process's address must be HOST or HOST:PORT, got %s", address);
  }
  int code = look_up(p.host, &found);
  if (code) return epact_fail(EPACT_E_SYSTEM, "cannot find the address of %s: %s", p.host, gai_strerror(code));
  endpoint_of(found->ai_addr, *p.port ? p.port : port, endpoint);
  freeaddrinfo(found);
  return EPACT_OK;
}

/* ---- rank 0 ---- */

static int not_here(const char *root, const char *endpoint)
{
  return epact_fail(EPACT_E_SYSTEM,
                    "%s (%s) is no address of this machine: rank 0 must run where the root address is, or say with "
                    "EPACT_ADDRESS at which address of its own it is reached",
                    root, endpoint + 6);
}

/* A host's own name often leads to 127.0.1.1 in its hosts file, where nobody else could reach it. */
static int bind_name(epact_net *net, const char *root, const place *p, double end)
{
  struct addrinfo *found;
  char endpoint[EPACT_ENDPOINT_BYTES] = "";
  int code = resolve(net, p->host, end, &found), bound = 0;
  if (code) return code;
  bool local = epact_endpoint_is_local(root);
  for (struct addrinfo *a = found; a && !code; a = a->ai_next) {
    if (is_loopback(a->ai_addr) && !local) {
      if (bound++) break;
      snprintf(endpoint, sizeof endpoint, "tcp://*:%s", p->port);
      code = epact_net_bind(net, endpoint, end);
      break;
    }
    endpoint_of(a->ai_addr, p->port, endpoint);
    code = epact_net_bind(net, endpoint, end);
    if (!code) bound++;
    if (code == EPACT_E_AGAIN) code = EPACT_OK;
  }
  freeaddrinfo(found);
  if (!code && !bound) code = not_here(root, endpoint);
  return code;
}

int epact_root_bind(epact_net *net, const char *root, const char *address, double end)
{
  place p;
  char endpoint[EPACT_ENDPOINT_BYTES];
  int code;
  if (!split_endpoint(root, &p)) { /* ipc */
    code = epact_net_bind(net, root, end);
  } else if (address && !epact_endpoint_is_local(root)) {
    if ((code = own_endpoint(address, p.port, endpoint))) return code;
    code = epact_net_bind(net, endpoint, end);
    if (code == EPACT_E_AGAIN) code = not_here(address, endpoint);
  } else {
    code = bind_name(net, root, &p, end);
  }
  if (!code) snprintf(net->endpoint[0], EPACT_ENDPOINT_BYTES, "%s", root); /* as the user knows it */
  return code;
}

/* ---- the others ---- */

/* Which address of this machine the system would send from: connecting a datagram socket sends nothing. False:
 * it has none, and errno says why. */
static bool source_towards(const struct sockaddr *to, socklen_t bytes, struct sockaddr_storage *from)
{
  struct sockaddr_storage target = { 0 };
  memcpy(&target, to, bytes);
  if (to->sa_family == AF_INET6)
    ((struct sockaddr_in6 *)&target)->sin6_port = htons(9);
  else
    ((struct sockaddr_in *)&target)->sin_port = htons(9);
  int s = socket(to->sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (s < 0) return false;
  socklen_t length = sizeof *from;
  bool good = !connect(s, (struct sockaddr *)&target, bytes) && !getsockname(s, (struct sockaddr *)from, &length);
  int error = errno;
  close(s);
  errno = error;
  return good;
}

/* Where the root's name leads to the loopback (a hosts file again), what the default route says. */
static bool source_by_default(struct sockaddr_storage *from)
{
  struct sockaddr_in documentation = { .sin_family = AF_INET };
  inet_pton(AF_INET, "192.0.2.1", &documentation.sin_addr);
  return source_towards((struct sockaddr *)&documentation, sizeof documentation, from);
}

int epact_root_find(epact_net *net, const char *root, const char *address, double end, char *own)
{
  place p;
  struct addrinfo *found;
  struct sockaddr_storage from;
  memset(&from, 0, sizeof from);
  if (!split_endpoint(root, &p)) {
    snprintf(net->endpoint[0], EPACT_ENDPOINT_BYTES, "%s", root);
    /* A process that joins has no rank yet; another one that joins must not take its path away. */
    const int length =
        net->joins ? snprintf(own, EPACT_ENDPOINT_BYTES, "%s.%08" PRIx32, root, (uint32_t)net->number[net->rank])
                   : snprintf(own, EPACT_ENDPOINT_BYTES, "%s.%d", root, net->rank);
    if (length < EPACT_ENDPOINT_BYTES) return EPACT_OK;
    return epact_fail(EPACT_E_MISUSE, "the root address is too long: %s", root);
  }
  int code = resolve(net, p.host, end, &found);
  if (code) return code;
  endpoint_of(found->ai_addr, p.port, net->endpoint[0]);
  bool local = epact_endpoint_is_local(root);
  bool known = true;
  if (!address || local) {
    known = source_towards(found->ai_addr, found->ai_addrlen, &from);
    if (known && !local && is_loopback((struct sockaddr *)&from)) known = source_by_default(&from);
  }
  int error = errno;
  freeaddrinfo(found);
  if (address && !local) return own_endpoint(address, "*", own);
  if (!known) {
    return epact_fail(EPACT_E_SYSTEM,
                      "rank %d cannot tell at which address the others reach it (%s): say it with "
                      "EPACT_ADDRESS",
                      net->rank, strerror(error));
  }
  endpoint_of((struct sockaddr *)&from, "*", own);
  return EPACT_OK;
}
