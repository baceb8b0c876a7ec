/* What the programs here share that load is measured against. */

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "peer.h"

enum { BACKLOG = 4096 };

static int epoll;

_Noreturn void fail(const char *what)
{
    perror(what);
    exit(1);
}

void *allocate(size_t count, size_t size)
{
    void *memory = calloc(count, size);
    if (!memory)
        fail("calloc");
    return memory;
}

unsigned number(const char *text, unsigned least, unsigned most)
{
    char *end;
    errno = 0;
    unsigned long value = strtoul(text, &end, 10);
    if (errno || *text < '0' || *text > '9' || *end || value < least || value > most) {
        fprintf(stderr, "%s: not a number from %u to %u\n", text, least, most);
        exit(1);
    }
    return (unsigned)value;
}

uint64_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

static double seconds(struct timeval time)
{
    return (double)time.tv_sec + (double)time.tv_usec / 1e6;
}

struct usage measure(void)
{
    struct rusage usage;
    if (getrusage(RUSAGE_SELF, &usage) < 0)
        fail("getrusage");
    return (struct usage){ (double)now() / 1e9, seconds(usage.ru_utime), seconds(usage.ru_stime) };
}

struct addrinfo *resolve(const char *address, const char *port)
{
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM,
                              .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV };
    struct addrinfo *found;
    int error = getaddrinfo(address, port, &hints, &found);
    if (error) {
        fprintf(stderr, "%s port %s: %s\n", address, port, gai_strerror(error));
        exit(1);
    }
    return found;
}

void open_epoll(void)
{
    epoll = epoll_create1(EPOLL_CLOEXEC);
    if (epoll < 0)
        fail("epoll_create1");
}

void watch(int operation, enum kind kind, int fd, uint32_t number, uint32_t events)
{
    struct epoll_event event = { .events = events, .data.u64 = (uint64_t)kind << 32 | number };
    if (epoll_ctl(epoll, operation, fd, &event) < 0)
        fail("epoll_ctl");
}

enum kind kind_of(uint64_t tag)
{
    return (enum kind)(tag >> 32);
}

uint32_t number_of(uint64_t tag)
{
    return (uint32_t)tag;
}

int wait_events(struct epoll_event *events, int most, int timeout)
{
    int count = epoll_wait(epoll, events, most, timeout);
    if (count < 0 && errno != EINTR)
        fail("epoll_wait");
    return count < 0 ? 0 : count;
}

/* sin_port and sin6_port share their offset. */
static in_port_t *port_of(void *address)
{
    return &((struct sockaddr_in *)address)->sin_port;
}

static void set_option(int fd, int level, int option, const char *name)
{
    if (setsockopt(fd, level, option, &(int){ 1 }, sizeof(int)) < 0)
        fail(name);
}

static unsigned open_listener(const struct addrinfo *where, unsigned port)
{
    int fd = socket(where->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        fail("socket");
    set_option(fd, SOL_SOCKET, SO_REUSEADDR, "SO_REUSEADDR");
    /* Sessions inherit it: an answer must not wait until the one before it is acknowledged. */
    set_option(fd, IPPROTO_TCP, TCP_NODELAY, "TCP_NODELAY");
    struct sockaddr_storage name = { 0 };
    socklen_t length = where->ai_addrlen;
    memcpy(&name, where->ai_addr, length);
    *port_of(&name) = htons((uint16_t)port);
    if (bind(fd, (struct sockaddr *)&name, length) < 0)
        fail("bind");
    if (listen(fd, BACKLOG) < 0)
        fail("listen");
    if (getsockname(fd, (struct sockaddr *)&name, &length) < 0)
        fail("getsockname");
    watch(EPOLL_CTL_ADD, LISTENER, fd, (uint32_t)fd, EPOLLIN);
    return ntohs(*port_of(&name));
}

void open_listeners(const char *address, unsigned first, unsigned count)
{
    struct addrinfo *where = resolve(address, "0");
    for (unsigned i = 0; i < count; i++)
        printf(i ? " %u" : "%u", open_listener(where, first ? first + i : 0));
    printf("\n");
    flush_output();
    freeaddrinfo(where);
}

int accept_next(int listener)
{
    for (;;) {
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0)
            return fd;
        if (errno == EAGAIN)
            return -1;
        if (errno != ECONNABORTED)
            fail("accept4");
    }
}

bool was_reset(const char *what)
{
    if (errno == EAGAIN)
        return false;
    if (errno != ECONNRESET && errno != EPIPE)
        fail(what);
    return true;
}

bool input_ended(void)
{
    char bytes[256];
    ssize_t got = read(STDIN_FILENO, bytes, sizeof bytes);
    if (got < 0)
        fail("stdin");
    return got == 0;
}

void flush_output(void)
{
    if (fflush(stdout))
        fail("stdout");
}
