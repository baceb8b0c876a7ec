/* Raw-epoll TCP echo server: the least a responder can cost on this kernel. */

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BACKLOG = 4096, EVENTS = 512, BUFFER = 65536 };

enum kind { SESSION, LISTENER, STOP_SIGNAL, STANDARD_INPUT };

/* Bytes read from a session whose socket would not take them back yet. */
struct pending {
    char *bytes;
    size_t length;
};

static int epoll;
static struct pending *pendings;
static unsigned long accepted, reset;
static char buffer[BUFFER];

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static uint64_t tag(enum kind kind, int fd)
{
    return (uint64_t)kind << 32 | (uint32_t)fd;
}

static void watch(int operation, enum kind kind, int fd, uint32_t events)
{
    struct epoll_event event = { .events = events, .data.u64 = tag(kind, fd) };
    if (epoll_ctl(epoll, operation, fd, &event) < 0)
        fail("epoll_ctl");
}

static struct addrinfo *resolve(const char *address)
{
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST };
    struct addrinfo *found;
    int error = getaddrinfo(address, "0", &hints, &found);
    if (error) {
        fprintf(stderr, "%s: %s\n", address, gai_strerror(error));
        exit(1);
    }
    return found;
}

/* sin_port and sin6_port share their offset. */
static in_port_t *port_of(void *address)
{
    return &((struct sockaddr_in *)address)->sin_port;
}

static unsigned open_listener(const struct addrinfo *where, unsigned port)
{
    int fd = socket(where->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        fail("socket");
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){ 1 }, sizeof(int)) < 0)
        fail("SO_REUSEADDR");
    if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int)) < 0)
        fail("TCP_NODELAY");
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
    watch(EPOLL_CTL_ADD, LISTENER, fd, EPOLLIN | EPOLLET);
    return ntohs(*port_of(&name));
}

static void open_listeners(const char *address, unsigned first, unsigned count)
{
    struct addrinfo *where = resolve(address);
    for (unsigned i = 0; i < count; i++)
        printf(i ? " %u" : "%u", open_listener(where, first ? first + i : 0));
    printf("\n");
    if (fflush(stdout))
        fail("stdout");
    freeaddrinfo(where);
}

static void accept_all(int listener)
{
    for (;;) {
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            accepted++;
            watch(EPOLL_CTL_ADD, SESSION, fd, EPOLLIN | EPOLLRDHUP | EPOLLET);
        } else if (errno == EAGAIN) {
            return;
        } else if (errno != ECONNABORTED) {
            fail("accept4");
        }
    }
}

static void close_session(int fd)
{
    free(pendings[fd].bytes);
    pendings[fd] = (struct pending){ 0 };
    if (close(fd) < 0)
        fail("close");
}

/* Ends a session its peer has reset; any other error is ours. */
static void end_broken(int fd, const char *what)
{
    if (errno != ECONNRESET && errno != EPIPE)
        fail(what);
    reset++;
    close_session(fd);
}

/* Bytes the socket took, or -1 once the session is closed. */
static ssize_t put(int fd, const char *bytes, size_t length)
{
    ssize_t sent = send(fd, bytes, length, MSG_NOSIGNAL);
    if (sent >= 0)
        return sent;
    if (errno == EAGAIN)
        return 0;
    end_broken(fd, "send");
    return -1;
}

static void keep(int fd, const char *bytes, size_t length)
{
    char *copy = malloc(length);
    if (!copy)
        fail("malloc");
    memcpy(copy, bytes, length);
    pendings[fd] = (struct pending){ copy, length };
    watch(EPOLL_CTL_MOD, SESSION, fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
}

/* True when nothing is pending any more and the session may be read again. */
static bool flush_pending(int fd)
{
    struct pending *pending = &pendings[fd];
    if (!pending->bytes)
        return true;
    ssize_t sent = put(fd, pending->bytes, pending->length);
    if (sent < 0)
        return false;
    pending->length -= (size_t)sent;
    if (pending->length) {
        memmove(pending->bytes, pending->bytes + sent, pending->length);
        return false;
    }
    free(pending->bytes);
    *pending = (struct pending){ 0 };
    watch(EPOLL_CTL_MOD, SESSION, fd, EPOLLIN | EPOLLRDHUP | EPOLLET);
    return true;
}

/* Whether there may be more to read: not after a short read with no end announced. */
static bool echo_once(int fd, bool ending)
{
    ssize_t got = recv(fd, buffer, BUFFER, 0);
    if (got > 0) {
        ssize_t sent = put(fd, buffer, (size_t)got);
        if (sent < 0)
            return false;
        if (sent < got) {
            keep(fd, buffer + sent, (size_t)(got - sent));
            return false;
        }
        return ending || got == BUFFER;
    }
    if (got == 0)
        close_session(fd);
    else if (errno != EAGAIN)
        end_broken(fd, "recv");
    return false;
}

static void serve(int fd, uint32_t events)
{
    bool ending = events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR);
    /* After a stall the announcement of the end may be long past. */
    ending |= pendings[fd].bytes != NULL;
    if (!flush_pending(fd))
        return;
    while (echo_once(fd, ending))
        ;
}

static bool input_ended(void)
{
    ssize_t got = read(STDIN_FILENO, buffer, BUFFER);
    if (got < 0)
        fail("stdin");
    return got == 0;
}

/* False when the event asks the server to stop. */
static bool handle(const struct epoll_event *event)
{
    int fd = (int)(uint32_t)event->data.u64;
    switch ((enum kind)(event->data.u64 >> 32)) {
    case SESSION:
        serve(fd, event->events);
        return true;
    case LISTENER:
        accept_all(fd);
        return true;
    case STANDARD_INPUT:
        return !input_ended();
    case STOP_SIGNAL:
        return false;
    }
    return true;
}

static void run(void)
{
    struct epoll_event events[EVENTS];
    for (;;) {
        int count = epoll_wait(epoll, events, EVENTS, -1);
        if (count < 0 && errno != EINTR)
            fail("epoll_wait");
        for (int i = 0; i < count; i++)
            if (!handle(&events[i]))
                return;
    }
}

static void watch_stops(void)
{
    sigset_t stops;
    sigemptyset(&stops);
    sigaddset(&stops, SIGTERM);
    if (sigprocmask(SIG_BLOCK, &stops, NULL) < 0)
        fail("sigprocmask");
    int fd = signalfd(-1, &stops, SFD_CLOEXEC);
    if (fd < 0)
        fail("signalfd");
    watch(EPOLL_CTL_ADD, STOP_SIGNAL, fd, EPOLLIN);
    watch(EPOLL_CTL_ADD, STANDARD_INPUT, STDIN_FILENO, EPOLLIN);
}

static void allocate_pendings(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        fail("getrlimit");
    pendings = calloc(limit.rlim_cur, sizeof *pendings);
    if (!pendings)
        fail("calloc");
}

static double seconds(struct timeval time)
{
    return (double)time.tv_sec + (double)time.tv_usec / 1e6;
}

static void report(void)
{
    struct rusage usage;
    if (getrusage(RUSAGE_SELF, &usage) < 0)
        fail("getrusage");
    printf("{\"accepted\":%lu,\"reset\":%lu,\"user_s\":%.6f,\"system_s\":%.6f}\n", accepted, reset,
           seconds(usage.ru_utime), seconds(usage.ru_stime));
    if (fflush(stdout))
        fail("stdout");
}

static unsigned number(const char *text, unsigned least, unsigned most)
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

int main(int argc, char **argv)
{
    if (argc != 4) {
        fprintf(stderr, "usage: %s ADDR FIRST_PORT COUNT\n", argv[0]);
        return 1;
    }
    unsigned first = number(argv[2], 0, 65535);
    unsigned count = number(argv[3], 1, first ? 65536 - first : 65535);
    epoll = epoll_create1(EPOLL_CLOEXEC);
    if (epoll < 0)
        fail("epoll_create1");
    allocate_pendings();
    watch_stops();
    open_listeners(argv[1], first, count);
    run();
    report();
    return 0;
}
