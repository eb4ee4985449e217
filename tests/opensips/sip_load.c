/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * sip-load: SIP requests over UDP to 127.0.0.1, as many as one process can send, and how long each
 * waited for its final reply.
 *
 *   closed loop  --outstanding N: a new request for each one that was answered
 *   open loop    --rate R: so many a second, whatever is answered
 *
 * Ends after --count requests, after --seconds, or by SIGTERM; requests under way are waited for.
 * Nothing is sent twice. Each request has a number in its Call-ID ("NUMBER@PREFIX") and at the
 * start of its body; --answered writes the numbers that were answered 200, a line each. Prints
 * one line of JSON.
 */
#include "tests/bench/latency.h"
#include "tests/bench/measure.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define BATCH 64U
#define SLOTS_MAX 65536U
#define REQUEST_BYTES_MAX 8192U
#define HEAD_BYTES_MAX 640U
#define REPLY_BYTES_MAX 2048U
#define SOCKET_BYTES (8 << 20)
#define SECOND_US 1000000U
/* How often is looked for requests that nobody answered. */
#define SWEEP_US 100000U

struct options {
    const char *method;
    const char *prefix;
    const char *answered_path;
    uint64_t first;
    uint64_t count;
    uint64_t seconds;
    uint64_t rate; /* 0: closed loop */
    uint64_t timeout_ms;
    uint32_t outstanding;
    uint32_t body_bytes;
    uint16_t port;
};

/* A request under way. */
struct slot {
    uint64_t number;
    uint64_t sent_us; /* 0: the slot is free */
};

struct load {
    struct options options;
    int fd;
    uint16_t own_port;
    FILE *answered;
    struct slot *slots;
    uint32_t *free_slots; /* a stack */
    uint32_t free_count;
    uint64_t begin_us;
    uint64_t sweep_at_us;
    uint64_t sent;
    uint64_t answered_200;
    uint64_t refused; /* with another final reply */
    uint64_t timed_out;
    uint64_t slowest_us;
    struct latency latency;
};

static volatile sig_atomic_t is_told_to_end;

static void on_signal(int number)
{
    (void)number;
    is_told_to_end = 1;
}

/* --- Options ---------------------------------------------------------------------------------- */

static uint64_t parse_number(const char *text, uint64_t low, uint64_t high)
{
    char *end;
    errno = 0;
    unsigned long long number = strtoull(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || number < low || number > high) {
        measure_fail("\"%s\" is not a number from %" PRIu64 " to %" PRIu64, text, low, high);
    }
    return number;
}

static void set_option(struct options *options, int letter, const char *value)
{
    switch (letter) {
    case 'p':
        options->port = (uint16_t)parse_number(value, 1, UINT16_MAX);
        break;
    case 'm':
        options->method = value;
        break;
    case 'x':
        options->prefix = value;
        break;
    case 'a':
        options->answered_path = value;
        break;
    case 'f':
        options->first = parse_number(value, 0, UINT32_MAX);
        break;
    case 'n':
        options->count = parse_number(value, 1, UINT32_MAX);
        break;
    case 's':
        options->seconds = parse_number(value, 1, 86400);
        break;
    case 'r':
        options->rate = parse_number(value, 1, 1000000);
        break;
    case 't':
        options->timeout_ms = parse_number(value, 1, 600000);
        break;
    case 'o':
        options->outstanding = (uint32_t)parse_number(value, 1, SLOTS_MAX);
        break;
    case 'b':
        options->body_bytes = (uint32_t)parse_number(value, 0, REQUEST_BYTES_MAX - HEAD_BYTES_MAX);
        break;
    default:
        measure_fail("usage: --port N [--method M] [--body BYTES] [--prefix ID] [--first N] "
                     "[--count N] [--seconds S] [--outstanding N | --rate R] [--timeout MS] "
                     "[--answered FILE]");
    }
}

static struct options parse_options(int argc, char **argv)
{
    static const struct option names[] = {
        {"port", required_argument, NULL, 'p'},    {"method", required_argument, NULL, 'm'},
        {"prefix", required_argument, NULL, 'x'},  {"answered", required_argument, NULL, 'a'},
        {"first", required_argument, NULL, 'f'},   {"count", required_argument, NULL, 'n'},
        {"seconds", required_argument, NULL, 's'}, {"rate", required_argument, NULL, 'r'},
        {"timeout", required_argument, NULL, 't'}, {"outstanding", required_argument, NULL, 'o'},
        {"body", required_argument, NULL, 'b'},    {NULL, 0, NULL, 0},
    };
    struct options options = {
        .method = "MESSAGE",
        .prefix = "load",
        .count = UINT64_MAX,
        .seconds = 86400,
        .timeout_ms = 10000,
        .outstanding = 32,
        .body_bytes = 512,
    };
    int letter;
    while ((letter = getopt_long(argc, argv, "", names, NULL)) != -1) {
        set_option(&options, letter, optarg);
    }
    if (options.port == 0) {
        measure_fail("--port is needed");
    }
    if (options.rate != 0) {
        options.outstanding = SLOTS_MAX;
    }
    return options;
}

/* --- Sending ---------------------------------------------------------------------------------- */

static size_t write_request(const struct load *load, uint64_t number, uint32_t slot,
                            char buffer[REQUEST_BYTES_MAX])
{
    const struct options *options = &load->options;
    int head_bytes =
        snprintf(buffer, HEAD_BYTES_MAX,
                 "%s sip:load@127.0.0.1:%u SIP/2.0\r\n"
                 "Via: SIP/2.0/UDP 127.0.0.1:%u;branch=z9hG4bK%08" PRIx32 "%016" PRIx64 "\r\n"
                 "From: <sip:caller@example.net>;tag=load\r\n"
                 "To: <sip:load@example.org>\r\n"
                 "Call-ID: %" PRIu64 "@%s\r\n"
                 "CSeq: 1 %s\r\n"
                 "Max-Forwards: 70\r\n"
                 "Content-Type: text/plain\r\n"
                 "Content-Length: %" PRIu32 "\r\n\r\n",
                 options->method, options->port, load->own_port, slot, number, number,
                 options->prefix, options->method, options->body_bytes);
    if (head_bytes < 0 || (unsigned)head_bytes >= HEAD_BYTES_MAX) {
        measure_fail("--method and --prefix are too long");
    }
    char *body = buffer + head_bytes;
    char stamp[96];
    int stamp_bytes = snprintf(stamp, sizeof(stamp), "%" PRIu64 "@%.64s ", number, options->prefix);
    memset(body, 'x', options->body_bytes);
    memcpy(body, stamp,
           (unsigned)stamp_bytes < options->body_bytes ? (unsigned)stamp_bytes
                                                       : options->body_bytes);
    return (size_t)head_bytes + options->body_bytes;
}

static bool is_over(const struct load *load, uint64_t now_us)
{
    return is_told_to_end != 0 || load->sent >= load->options.count ||
           now_us - load->begin_us >= load->options.seconds * SECOND_US;
}

/* How many may be sent now. */
static uint64_t count_due(const struct load *load, uint64_t now_us)
{
    if (is_over(load, now_us)) {
        return 0;
    }
    uint64_t due = load->free_count;
    if (load->options.rate != 0) {
        uint64_t by_now = (now_us - load->begin_us) * load->options.rate / SECOND_US + 1;
        due = by_now - load->sent < due ? by_now - load->sent : due;
    }
    uint64_t left = load->options.count - load->sent;
    due = due < left ? due : left;
    return due < BATCH ? due : BATCH;
}

/* Sends a batch. Returns how many. */
static size_t send_due(struct load *load)
{
    static char buffers[BATCH][REQUEST_BYTES_MAX];
    struct mmsghdr messages[BATCH] = {0};
    struct iovec parts[BATCH];
    uint64_t now_us = measure_now_us();
    size_t count = (size_t)count_due(load, now_us);
    for (size_t i = 0; i < count; i++) {
        uint32_t slot = load->free_slots[load->free_count - 1 - i];
        uint64_t number = load->options.first + load->sent + i;
        load->slots[slot] = (struct slot){.number = number, .sent_us = now_us};
        parts[i].iov_base = buffers[i];
        parts[i].iov_len = write_request(load, number, slot, buffers[i]);
        messages[i].msg_hdr.msg_iov = &parts[i];
        messages[i].msg_hdr.msg_iovlen = 1;
    }
    size_t sent = 0;
    while (sent < count) {
        int r = sendmmsg(load->fd, messages + sent, (unsigned)(count - sent), 0);
        if (r > 0) {
            sent += (size_t)r;
        } else if (errno != EINTR && errno != ECONNREFUSED && errno != EAGAIN) {
            measure_fail("sendmmsg: %s", strerror(errno));
        }
    }
    load->free_count -= (uint32_t)count;
    load->sent += count;
    return count;
}

/* --- Receiving -------------------------------------------------------------------------------- */

static void free_slot(struct load *load, uint32_t slot)
{
    load->slots[slot].sent_us = 0;
    load->free_slots[load->free_count++] = slot;
}

static void take_reply(struct load *load, const char *reply, size_t size_bytes, uint64_t now_us)
{
    static const char mark[] = "branch=z9hG4bK";
    const char *branch = memmem(reply, size_bytes, mark, sizeof(mark) - 1);
    size_t status_at = sizeof("SIP/2.0 ") - 1;
    if (branch == NULL || size_bytes < status_at + 3 || reply[status_at] == '1') {
        return;
    }
    char digits[9] = {0};
    branch += sizeof(mark) - 1;
    if (branch + 24 > reply + size_bytes) {
        return;
    }
    memcpy(digits, branch, 8);
    unsigned long slot = strtoul(digits, NULL, 16);
    if (slot >= load->options.outstanding || load->slots[slot].sent_us == 0 ||
        strtoull(branch + 8, NULL, 16) != load->slots[slot].number) {
        return; /* of one that was given up */
    }
    uint64_t waited_us = now_us - load->slots[slot].sent_us;
    latency_add(&load->latency, waited_us);
    load->slowest_us = waited_us > load->slowest_us ? waited_us : load->slowest_us;
    if (memcmp(reply + status_at, "200", 3) == 0) {
        load->answered_200++;
        if (load->answered != NULL) {
            fprintf(load->answered, "%" PRIu64 "\n", load->slots[slot].number);
        }
    } else {
        load->refused++;
    }
    free_slot(load, (uint32_t)slot);
}

/* Takes what is there. Returns how many datagrams. */
static size_t receive_replies(struct load *load)
{
    static char buffers[BATCH][REPLY_BYTES_MAX];
    struct mmsghdr messages[BATCH] = {0};
    struct iovec parts[BATCH];
    for (size_t i = 0; i < BATCH; i++) {
        parts[i] = (struct iovec){buffers[i], sizeof(buffers[i]) - 1};
        messages[i].msg_hdr.msg_iov = &parts[i];
        messages[i].msg_hdr.msg_iovlen = 1;
    }
    int count = recvmmsg(load->fd, messages, BATCH, MSG_DONTWAIT, NULL);
    if (count < 0 && errno != EAGAIN && errno != EINTR && errno != ECONNREFUSED) {
        measure_fail("recvmmsg: %s", strerror(errno));
    }
    uint64_t now_us = measure_now_us();
    for (int i = 0; i < count; i++) {
        buffers[i][messages[i].msg_len] = '\0';
        take_reply(load, buffers[i], messages[i].msg_len, now_us);
    }
    return count > 0 ? (size_t)count : 0;
}

/* Gives up those that nobody answered in time. */
static void sweep(struct load *load, uint64_t now_us)
{
    if (now_us < load->sweep_at_us) {
        return;
    }
    load->sweep_at_us = now_us + SWEEP_US;
    for (uint32_t i = 0; i < load->options.outstanding; i++) {
        uint64_t sent_us = load->slots[i].sent_us;
        if (sent_us != 0 && now_us - sent_us > load->options.timeout_ms * 1000) {
            load->timed_out++;
            free_slot(load, i);
        }
    }
}

static void wait_for_work(const struct load *load)
{
    struct pollfd poller = {.fd = load->fd, .events = POLLIN};
    struct timespec wait = {.tv_nsec = SWEEP_US * 1000L};
    if (load->options.rate != 0) {
        uint64_t gap_us = SECOND_US / load->options.rate;
        wait.tv_nsec = gap_us < SWEEP_US ? (long)gap_us * 1000 : wait.tv_nsec;
    }
    (void)ppoll(&poller, 1, &wait, NULL);
}

/* --- All of it -------------------------------------------------------------------------------- */

static void open_socket(struct load *load)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(load->options.port)};
    struct sockaddr_in own = {.sin_family = AF_INET};
    socklen_t own_bytes = sizeof(own);
    int size_bytes = SOCKET_BYTES;
    to.sin_addr.s_addr = own.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    load->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (load->fd < 0 || bind(load->fd, (struct sockaddr *)&own, sizeof(own)) < 0 ||
        connect(load->fd, (struct sockaddr *)&to, sizeof(to)) < 0 ||
        getsockname(load->fd, (struct sockaddr *)&own, &own_bytes) < 0) {
        measure_fail("no socket: %s", strerror(errno));
    }
    /* Without the right to go beyond the system's limit, up to that. */
    if (setsockopt(load->fd, SOL_SOCKET, SO_RCVBUFFORCE, &size_bytes, sizeof(size_bytes)) < 0) {
        (void)setsockopt(load->fd, SOL_SOCKET, SO_RCVBUF, &size_bytes, sizeof(size_bytes));
    }
    load->own_port = ntohs(own.sin_port);
}

static void prepare(struct load *load)
{
    uint32_t count = load->options.outstanding;
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    open_socket(load);
    load->slots = calloc(count, sizeof(*load->slots));
    load->free_slots = calloc(count, sizeof(*load->free_slots));
    if (load->slots == NULL || load->free_slots == NULL) {
        measure_fail("out of memory");
    }
    while (load->free_count < count) {
        load->free_slots[load->free_count] = count - 1 - load->free_count;
        load->free_count++;
    }
    if (load->options.answered_path != NULL) {
        load->answered = fopen(load->options.answered_path, "we");
        if (load->answered == NULL) {
            measure_fail("%s: %s", load->options.answered_path, strerror(errno));
        }
    }
}

static void run(struct load *load)
{
    load->begin_us = measure_now_us();
    for (;;) {
        size_t sent = send_due(load);
        size_t received = receive_replies(load);
        uint64_t now_us = measure_now_us();
        sweep(load, now_us);
        if (is_over(load, now_us) && load->free_count == load->options.outstanding) {
            return;
        }
        if (sent == 0 && received == 0) {
            wait_for_work(load);
        }
    }
}

static void print_result(const struct load *load)
{
    double seconds = (double)(measure_now_us() - load->begin_us) / SECOND_US;
    uint64_t replied = load->answered_200 + load->refused;
    printf("{\"sent\": %" PRIu64 ", \"answered\": %" PRIu64 ", \"refused\": %" PRIu64
           ", \"timed_out\": %" PRIu64 ", \"seconds\": %.3f, \"per_second\": %.0f, \"p50_us\": "
           "%" PRIu64 ", \"p99_us\": %" PRIu64 ", \"max_us\": %" PRIu64 "}\n",
           load->sent, load->answered_200, load->refused, load->timed_out, seconds,
           (double)replied / seconds, latency_at(&load->latency, 500),
           latency_at(&load->latency, 990), load->slowest_us);
}

int main(int argc, char **argv)
{
    static struct load load;
    load.options = parse_options(argc, argv);
    prepare(&load);
    run(&load);
    if (load.answered != NULL && fclose(load.answered) != 0) {
        measure_fail("%s: %s", load.options.answered_path, strerror(errno));
    }
    print_result(&load);
    free(load.slots);
    free(load.free_slots);
    close(load.fd);
    return 0;
}
