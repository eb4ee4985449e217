/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/broker/socket_hooks.h"

#include "tests/broker/client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define FDS_MAX 4096
#define PRODUCE_REQUEST 0

/* The mock cluster drops beyond 5 MiB a partition. One request that is half received when the gate
 * is looked at comes on top, and is at most message.max.bytes (1 MB by default). */
#define GATE_BYTES (3U << 20)

/* A closed gate would make the mock cluster spin. */
#define GATE_WAIT_US 200
#define HUNG_POLL_MS 10

struct hooked_broker {
    atomic_bool is_hung;
    atomic_bool is_cut_due;
    atomic_uint cuts;
    uint16_t port;
};

/* Of an accepted socket. Used by the mock cluster's thread alone. */
struct accepted {
    bool is_held;
    int broker;
    unsigned cuts;
};

static struct {
    rd_kafka_mock_cluster_t *cluster;
    struct hooked_broker brokers[HOOKS_BROKERS_MAX];
    int brokers_count;
    uint16_t port_first;
    uint16_t told_first;
    int ports_count;
    int ports_used;
    atomic_bool is_holding;
    atomic_bool is_gated;
    atomic_bool is_called;
    atomic_uint_fast64_t received_bytes;
    atomic_uint_fast64_t released_bytes;
} hooks;

/* Under these names librdkafka finds our functions before the C library's. */
#define IN_PLACE_OF(name) __asm__(name) __attribute__((visibility("default")))

int replaced_bind(int fd, const struct sockaddr *address, socklen_t address_size)
    IN_PLACE_OF("bind");
int replaced_getsockname(int fd, struct sockaddr *address, socklen_t *address_size)
    IN_PLACE_OF("getsockname");
int replaced_accept(int fd, struct sockaddr *address, socklen_t *address_size)
    IN_PLACE_OF("accept");
int replaced_poll(struct pollfd *fds, nfds_t fds_count, int timeout_ms) IN_PLACE_OF("poll");
ssize_t replaced_recvmsg(int fd, struct msghdr *message, int flags) IN_PLACE_OF("recvmsg");

static struct accepted accepted[FDS_MAX];
static _Thread_local bool is_cluster_thread;

void hooks_fix_ports(uint16_t first_port, uint16_t told_port, int count)
{
    hooks.port_first = first_port;
    hooks.told_first = told_port;
    hooks.ports_count = count;
}

/* The port at which the broker listens that clients find at told_port. */
static uint16_t port_of(uint16_t told_port)
{
    return (uint16_t)(told_port - hooks.told_first + hooks.port_first);
}

void hooks_set_cluster(rd_kafka_mock_cluster_t *cluster, const uint16_t *ports, int count)
{
    hooks.cluster = cluster;
    hooks.brokers_count = count;
    for (int i = 0; i < count; i++) {
        hooks.brokers[i].port = ports[i];
    }
}

void hooks_set_hung(int broker, bool is_hung)
{
    atomic_store(&hooks.brokers[broker - 1].is_hung, is_hung);
}

void hooks_set_holding(bool is_holding)
{
    atomic_store(&hooks.is_holding, is_holding);
}

void hooks_cut_after_errors(int broker)
{
    atomic_store(&hooks.brokers[broker - 1].is_cut_due, true);
}

void hooks_close_gate(void)
{
    atomic_store(&hooks.is_gated, true);
}

void hooks_open_gate(void)
{
    atomic_store(&hooks.is_gated, false);
}

uint64_t hooks_received_bytes(void)
{
    return atomic_load(&hooks.received_bytes);
}

void hooks_release(uint64_t received_bytes)
{
    atomic_store(&hooks.released_bytes, received_bytes);
}

bool hooks_are_called(void)
{
    return atomic_load(&hooks.is_called);
}

int hooks_connect_privately(int fd, const struct sockaddr *address, int address_size,
                            const char *id, void *opaque)
{
    struct sockaddr_in private = {.sin_family = AF_INET,
                                  .sin_addr.s_addr = htonl(HOOKS_PRIVATE_ADDRESS)};
    (void)id;
    (void)opaque;

    if (bind(fd, (struct sockaddr *)&private, sizeof(private)) < 0) {
        return errno;
    }
    struct sockaddr_in broker;
    memcpy(&broker, address, sizeof(broker));
    (void)address_size;
    broker.sin_port = htons(port_of(ntohs(broker.sin_port)));
    if (connect(fd, (struct sockaddr *)&broker, sizeof(broker)) < 0 && errno != EINPROGRESS) {
        return errno;
    }
    return 0;
}

int replaced_bind(int fd, const struct sockaddr *address, socklen_t address_size)
{
    struct sockaddr_in fixed;

    if (is_cluster_thread && fd < FDS_MAX) {
        accepted[fd].is_held = false;
    }
    if (address->sa_family != AF_INET || address_size != sizeof(fixed)) {
        return (int)syscall(SYS_bind, fd, address, address_size);
    }
    memcpy(&fixed, address, sizeof(fixed));
    uint16_t port = ntohs(fixed.sin_port);
    if (port == 0 && hooks.ports_used < hooks.ports_count) {
        fixed.sin_port = htons((uint16_t)(hooks.port_first + hooks.ports_used++));
    } else if (port >= hooks.told_first && port < hooks.told_first + hooks.ports_count) {
        /* A broker that was down listens again at the port that it believes to have. */
        fixed.sin_port = htons(port_of(port));
    }
    return (int)syscall(SYS_bind, fd, &fixed, sizeof(fixed));
}

/* The mock cluster asks it where its brokers listen. */
int replaced_getsockname(int fd, struct sockaddr *address, socklen_t *address_size)
{
    int r = (int)syscall(SYS_getsockname, fd, address, address_size);
    struct sockaddr_in name;

    if (r != 0 || address->sa_family != AF_INET) {
        return r;
    }
    memcpy(&name, address, sizeof(name));
    int at = ntohs(name.sin_port) - hooks.port_first;
    if (at >= 0 && at < hooks.ports_count) {
        name.sin_port = htons((uint16_t)(hooks.told_first + at));
        memcpy(address, &name, sizeof(name));
    }
    return r;
}

static int broker_of_listener(int fd)
{
    struct sockaddr_in name = {.sin_port = 0};
    socklen_t name_size = sizeof(name);

    if (syscall(SYS_getsockname, fd, &name, &name_size) == 0) {
        for (int i = 0; i < hooks.brokers_count; i++) {
            if (port_of(hooks.brokers[i].port) == ntohs(name.sin_port)) {
                return i;
            }
        }
    }
    return -1;
}

/* Only the mock cluster's thread calls it. */
int replaced_accept(int fd, struct sockaddr *address, socklen_t *address_size)
{
    int new_fd = (int)syscall(SYS_accept4, fd, address, address_size, SOCK_CLOEXEC);

    if (new_fd >= FDS_MAX) {
        close(new_fd);
        errno = EMFILE;
        return -1;
    }
    if (new_fd < 0 || address->sa_family != AF_INET) {
        return new_fd;
    }
    is_cluster_thread = true;
    atomic_store(&hooks.is_called, true);

    struct sockaddr_in peer;
    memcpy(&peer, address, sizeof(peer));
    int broker = broker_of_listener(fd);
    accepted[new_fd] = (struct accepted){
        .is_held = broker >= 0 && ntohl(peer.sin_addr.s_addr) != HOOKS_PRIVATE_ADDRESS,
        .broker = broker,
        .cuts = broker >= 0 ? atomic_load(&hooks.brokers[broker].cuts) : 0,
    };
    return new_fd;
}

static bool is_cut(const struct accepted *connection)
{
    struct hooked_broker *broker = &hooks.brokers[connection->broker];

    if (atomic_load(&broker->is_cut_due)) {
        size_t errors_count = 0;
        rd_kafka_mock_broker_error_stack_cnt(hooks.cluster, connection->broker + 1, PRODUCE_REQUEST,
                                             &errors_count);
        if (errors_count == 0) {
            atomic_store(&broker->is_cut_due, false);
            atomic_fetch_add(&broker->cuts, 1);
        }
    }
    return connection->cuts != atomic_load(&broker->cuts);
}

static bool is_hung(int fd)
{
    return fd >= 0 && fd < FDS_MAX && accepted[fd].is_held &&
           atomic_load(&hooks.brokers[accepted[fd].broker].is_hung);
}

/* Leaves hung connections out, so that they cost the other brokers
 * nothing. */
int replaced_poll(struct pollfd *fds, nfds_t fds_count, int timeout_ms)
{
    bool has_hung = false;

    for (nfds_t i = 0; is_cluster_thread && i < fds_count; i++) {
        if (is_hung(fds[i].fd)) {
            fds[i].fd = ~fds[i].fd;
            has_hung = true;
        }
    }
    if (has_hung && (timeout_ms < 0 || timeout_ms > HUNG_POLL_MS)) {
        timeout_ms = HUNG_POLL_MS;
    }
    struct timespec timeout = {timeout_ms / 1000, (long)(timeout_ms % 1000) * 1000000};
    int ready = (int)syscall(SYS_ppoll, fds, fds_count, timeout_ms < 0 ? NULL : &timeout, NULL, 0);

    for (nfds_t i = 0; has_hung && i < fds_count; i++) {
        if (fds[i].fd < 0) {
            fds[i].fd = ~fds[i].fd;
        }
    }
    return ready;
}

static bool is_beyond_gate(const struct msghdr *message)
{
    if (!atomic_load(&hooks.is_gated)) {
        return false;
    }
    uint64_t unread_bytes = atomic_load(&hooks.received_bytes) - atomic_load(&hooks.released_bytes);
    uint64_t wanted_bytes = 0;
    for (size_t i = 0; i < message->msg_iovlen; i++) {
        wanted_bytes += message->msg_iov[i].iov_len;
    }
    /* A request larger than the gate passes alone. */
    return unread_bytes > 0 && unread_bytes + wanted_bytes > GATE_BYTES;
}

/* Called by the mock cluster's thread and by client threads. */
ssize_t replaced_recvmsg(int fd, struct msghdr *message, int flags)
{
    if (!is_cluster_thread || fd < 0 || fd >= FDS_MAX || !accepted[fd].is_held) {
        return syscall(SYS_recvmsg, fd, message, flags);
    }
    bool is_holding = atomic_load(&hooks.is_holding);
    if (!is_holding && is_cut(&accepted[fd])) {
        return 0;
    }
    if (is_hung(fd)) {
        errno = EAGAIN;
        return -1;
    }
    if (is_holding || is_beyond_gate(message)) {
        client_sleep_us(GATE_WAIT_US);
        errno = EAGAIN;
        return -1;
    }
    ssize_t size_bytes = syscall(SYS_recvmsg, fd, message, flags);
    if (size_bytes > 0) {
        atomic_fetch_add(&hooks.received_bytes, (uint64_t)size_bytes);
    }
    return size_bytes;
}
